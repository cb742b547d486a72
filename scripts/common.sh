# shellcheck shell=bash
# What the scripts beside this one share. Sourced, never run.

# The version of Trunk that builds this project: 0.22 wants a newer Rust than the one we promise.
# shellcheck disable=SC2034  # read by the scripts that source this file
TRUNK_VERSION=0.21.14
WASM_TARGET=wasm32-unknown-unknown

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() { say "$@"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# The version of a package in Cargo.lock.
locked_version() {
  awk -v want="\"$1\"" '$1 == "name" && $3 == want { found = 1; next }
    found && $1 == "version" { gsub(/"/, "", $3); print $3; exit }' Cargo.lock
}

# The oldest Rust the workspace promises to build with (rust-version).
rust_version() { sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml; }

# Whether version $1 is at least version $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# True if the Rust on the PATH comes with the wasm target's library.
has_wasm_target() {
  local libdir
  libdir=$(rustc --print target-libdir --target "$WASM_TARGET" 2>/dev/null) || return 1
  compgen -G "${libdir//\\//}/libcore-*.rlib" >/dev/null
}

# The version of the Rust that Debian packages; nothing if there is none.
debian_rust() { [ -x /usr/bin/cargo ] && /usr/bin/rustc --version 2>/dev/null | cut -d ' ' -f 2 | cut -d + -f 1; }

# The LLVM major version of that Rust, which its wasm linker must match.
debian_llvm() { /usr/bin/rustc -vV 2>/dev/null | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p'; }

# True if Debian's Rust can build the wasm target's library itself, from the source packaged beside
# it.
has_debian_wasm() {
  local version
  version=$(debian_rust) && [ -n "$version" ] && at_least "$version" "$(rust_version)" \
    && [ -e "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml" ] \
    && have "wasm-ld-$(debian_llvm)"
}

# Prints which Rust builds the dashboard: `target` (the one on the PATH, which has the wasm target),
# `debian`, or `none`. The variable WASM_TOOLCHAIN overrides the choice.
wasm_toolchain() {
  if [ -n "${WASM_TOOLCHAIN:-}" ]; then printf '%s\n' "$WASM_TOOLCHAIN"
  elif has_wasm_target; then echo target
  elif has_debian_wasm; then echo debian
  else echo none
  fi
}
