#!/usr/bin/env bash
# Checks that the library compiles with the oldest Rust that Cargo.toml allows; with
# SPRAT_TEST_LEVEL=all, that everything does. The toolchain is one of rustup if it has that version,
# or else that of Debian.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/debian-rust.sh"
cd "$ROOT"

if [ -n "$(RUSTUP_AUTO_INSTALL=0 cargo_version rustup run "$RUST_WANTED" cargo)" ]; then
    export RUSTUP_TOOLCHAIN=$RUST_WANTED
else
    use_debian_rust
fi
case ${SPRAT_TEST_LEVEL:-quick} in
all) what=everything wanted=(--workspace --all-targets --features "internals,mdns,spoe") ;;
*) what="the library" wanted=(--lib --no-default-features --features mdns,spoe) ;;
esac
cargo check --locked --quiet "${wanted[@]}" --target-dir "$TARGET/oldest"
say "Rust $(cargo_version cargo) compiles $what: ok"
