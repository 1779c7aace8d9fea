//! Keeps what stands in the process's memory there: keys, tokens and signed URLs among it.
//!
//! A core dump is a file with all of them, and a debugger of the same user reads them without one.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// From now on the kernel writes no core dump of this process, and lets nobody but root trace it or read its memory and
/// its environment.
///
/// # Errors
///
/// What the system says where it does not agree.
pub(super) fn keep_private() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // A handler that dumps are piped to does not care about the limit, but about this.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::process::getrlimit;

    use super::*;

    #[test]
    fn no_core_dump_is_written_and_nobody_may_trace() {
        keep_private().unwrap();

        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        #[cfg(target_os = "linux")]
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::NotDumpable);
    }
}
