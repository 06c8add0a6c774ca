#!/usr/bin/env bash
# Runs the tests that use threads under ThreadSanitizer: the unit tests of the driver and of the C
# interface, and the tests of whole nodes. The standard library is compiled with it, too, because
# its locks would otherwise look like data races.
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
# The sanitizer has to be loaded before the C library. A data race ends the process with status 66.
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="env LD_PRELOAD=$runtime/libclang_rt.tsan-x86_64.so TSAN_OPTIONS=exitcode=66"
tests() {
    cargo test --locked -Zbuild-std --target x86_64-unknown-linux-gnu --target-dir "$TARGET/tsan" \
        --features internals,mdns,spoe "$@"
}
tests --lib -- driver:: ffi::
# The sanitizer does not support threads in a child that a process with threads has forked.
tests --test node -- --skip limits:: --skip process:: --skip snapshot::a_killed --skip snapshot::a_write
say "no data race was found"
