//! The program: arguments in, one command, exit code out.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The allocator of glibc took a ninth of a hit's instructions: what 32 requests under way hold at once is more than it
/// keeps at hand for a thread (`docs/adr/0012-allocator.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    redis_backup_gateway::cli::run()
}
