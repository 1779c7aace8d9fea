# shellcheck shell=bash
# What every script here stands on: strict mode, the repository as the working directory, a few words.
# Sourced, never run.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Where cargo puts its results, and where scripts/tools puts the pinned tools.
export target=${CARGO_TARGET_DIR:-target}
tools=$PWD/target/tools
export PATH="$tools/bin:$PATH"

say() { printf '%s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# need COMMAND PACKAGE: makes sure that a command is there.
need() {
  local command=$1 package=$2
  if command -v "$command" >/dev/null; then return; fi
  install_package "$package" "$command"
  command -v "$command" >/dev/null || fail "$command is still missing after $package was installed"
}

# install_package PACKAGE PURPOSE: as root on Debian it installs the package. Anywhere else the person is told what to
# do, because a check that quietly leaves itself out is worse than none.
install_package() {
  local package=$1 purpose=$2
  if ! command -v apt-get >/dev/null || ((EUID != 0)); then
    fail "$purpose is missing: install it (on Debian: apt-get install $package) and run this again"
  fi
  say "--- installing $package, for $purpose"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$package" >/dev/null
}

# What building takes. Rust itself is the one thing that is not installed here: how it comes onto a machine is its
# owner's business.
need_compiler() {
  command -v cargo >/dev/null || fail "cargo is missing: install Rust with rustup, which reads rust-toolchain.toml"
  need cc build-essential
}

# Steps that are all run, even when one fails, so that a person mends everything in one go.
failed=()

# step NAME COMMAND…: runs the command under a headline and keeps in mind how it went.
step() {
  local name=$1 began=$SECONDS
  shift
  say "--- $name"
  if "$@"; then
    say "    ok, $((SECONDS - began)) s"
  else
    say "    FAILED, $((SECONDS - began)) s: $name"
    failed+=("$name")
  fi
}

# Ends the script: 0 if every step went well, else 1 with the names of those that did not.
finish() {
  ((${#failed[@]} == 0)) && return
  printf 'error: %d failed: %s\n' "${#failed[@]}" "$(IFS=';' && printf '%s' "${failed[*]}")" >&2
  exit 1
}
