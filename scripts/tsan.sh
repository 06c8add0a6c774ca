#!/usr/bin/env bash
# Runs the tests that use threads under ThreadSanitizer: the unit tests of the driver and of the C
# interface, and the tests of whole nodes. The standard library is compiled with it, too, because
# its locks would otherwise look like data races. Needs about five minutes.
#
# The sanitizer is an unstable option of rustc, and the standard library has to be of the same
# version as the compiler. Both come from the packages of Debian, see debian-rust.sh.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/debian-rust.sh"
cd "$ROOT"

use_debian_rust rust-web-src libclang-rt-19-dev
runtime=$(dirname "$(find "$DEBIAN_RUST" -name 'libclang_rt.tsan-x86_64.so')")
export RUSTC_BOOTSTRAP=1 # unlocks unstable options
export RUSTFLAGS="-Zsanitizer=thread -Zexternal-clangrt -Clink-arg=$runtime/libclang_rt.tsan-x86_64.so -Clink-arg=-Wl,-rpath,$runtime"
export TSAN_OPTIONS="halt_on_error=0 exitcode=66 suppressions=$ROOT/scripts/tsan.supp"
tests() {
    cargo test --locked -Zbuild-std --target x86_64-unknown-linux-gnu --target-dir "$TARGET/tsan" \
        --features internals,spoe "$@"
}
tests --lib -- driver:: ffi::
tests --test node
say "no data race was found"
