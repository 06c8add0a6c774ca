#!/usr/bin/env bash
# Everything `make test` does, each step named. All steps run even if an early one fails, so that
# one run shows everything that is wrong; the end says which failed.
set -uo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT" || exit 1

# Tests of faults make network namespaces. Without root they are run through sudo; the compiler
# is not.
if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null; then
    triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${triple}_RUNNER=sudo -E env PATH=$PATH"
fi

failed=()
step() {
    local name=$1 began=$SECONDS
    shift
    say "=== $name"
    if "$@"; then
        say "=== $name: ok ($((SECONDS - began)) s)"
    else
        say "=== $name: FAILED ($((SECONDS - began)) s)"
        failed+=("$name")
    fi
}

documentation() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
}

# All but those with agents, which wait most of the time: more of them run at once.
quick_tests() {
    local file names=()
    for file in tests/*.rs; do
        [ "$file" = tests/interop.rs ] || names+=(--test "$(basename "$file" .rs)")
    done
    cargo test --locked --no-fail-fast --lib "${names[@]}" && cargo test --locked --doc
}

interop() {
    RUST_TEST_THREADS=5 cargo test --locked --no-fail-fast --test interop
}

step "lint" scripts/lint.sh
# Before the tests, one of which measures it: what root builds, others could not build again.
step "build" build_release
step "tests" quick_tests
step "interop" interop
step "fuzz" env FUZZ_RUNS=50000 scripts/fuzz.sh
step "documentation" documentation
step "install" scripts/test-install.sh
step "examples" scripts/test-examples.sh
step "python" scripts/test-python.sh
step "haproxy" scripts/test-haproxy.sh
step "demo" examples/haproxy/run.sh

if [ ${#failed[@]} != 0 ]; then
    say "FAILED: ${failed[*]}"
    exit 1
fi
say "all tests passed in $SECONDS s"
