# shellcheck shell=bash
# How the program that is shipped is built: with the same flags for its dependencies alone and for all of it, so that an
# image can keep the first as a layer. Sourced, never run.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# It puts the list of the crates into the program, which `cargo audit bin` and scanners of images read.
auditable=0.7.7

# What is shipped, and the symbols that belong to it.
export dist=$PWD/target/dist
shipped=$PWD/target/shipped

need_auditable() {
  if [[ $(cargo install --list --root "$tools" 2>/dev/null) == *"cargo-auditable v$auditable:"* ]]; then return; fi
  say "--- building cargo-auditable $auditable into target/tools"
  cargo install --quiet --locked --root "$tools" "cargo-auditable@$auditable"
}

# build_release FOLDER: builds the gateway from the workspace in FOLDER.
build_release() {
  need_compiler
  need_auditable
  # Where sources and crates lie differs from machine to machine, and must not show in the program.
  local crates=${CARGO_HOME:-$HOME/.cargo} folder
  folder=$(cd "$1" && pwd)
  (
    export CARGO_TARGET_DIR=$shipped CARGO_INCREMENTAL=0
    export RUSTFLAGS="--remap-path-prefix=$PWD=/gateway --remap-path-prefix=$crates=/crates"
    export CFLAGS="-ffile-prefix-map=$PWD=/gateway -ffile-prefix-map=$crates=/crates"
    cd "$folder"
    cargo auditable build --locked --release --package redis-backup-gateway --bins
  )
}
