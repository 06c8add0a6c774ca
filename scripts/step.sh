#!/usr/bin/env bash
# One step of the tests: `step.sh NAME`, with the names below. scripts/test.sh runs all of them, and
# scripts/soak.sh some of them again and again.
#
# SPRAT_TEST_LEVEL=all runs every seed and every case, and tries what is shipped as it is shipped.
# Otherwise the seeds are few, and the bindings are built with the profile of `cargo test`.
set -euo pipefail
export SPRAT_TEST_LEVEL=${SPRAT_TEST_LEVEL:-quick}
if [ "$SPRAT_TEST_LEVEL" = all ]; then
    export SPRAT_PROFILE=${SPRAT_PROFILE:-guest}
else
    export SPRAT_PROFILE=${SPRAT_PROFILE:-dev}
fi
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"
cd "$ROOT"

# Tests of faults make network namespaces. Without root they are run through sudo; the compiler
# is not.
if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null; then
    triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${triple}_RUNNER=sudo -E env PATH=$PATH"
fi

# The tests of the library, but for those with agents, which are a step of their own.
library_tests=(--lib)
for file in tests/*.rs; do
    [ "$file" = tests/interop.rs ] || library_tests+=(--test "$(basename "$file" .rs)")
done

case ${1:-} in
lint) scripts/lint.sh ;;
build) build_release ;;
build-tests) # all that the steps below would build one after the other
    cargo test --locked --quiet --no-run "${library_tests[@]}" --test interop
    cargo build --locked --quiet --lib --example watch
    cargo test --locked --quiet --no-run -p sprat-haproxy -p sprat-hap
    build_haproxy
    python_env
    install_wheel
    ;;
tests) cargo test --locked --no-fail-fast "${library_tests[@]}" ;;
documentation)
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
    cargo test --locked --doc
    ;;
interop) # these tests wait for most of their time
    RUST_TEST_THREADS=6 cargo test --locked --no-fail-fast --test interop
    ;;
fuzz)
    runs=2000
    [ "$SPRAT_TEST_LEVEL" != all ] || runs=50000
    FUZZ_RUNS=$runs scripts/fuzz.sh
    ;;
install) scripts/test-install.sh ;;
examples) scripts/test-examples.sh ;;
python) scripts/test-python.sh ;;
haproxy) scripts/test-haproxy.sh ;;
demo) examples/haproxy/run.sh ;;
wheel) scripts/wheel.sh ;;
reference) scripts/python-docs.sh ;;
debian-rust) scripts/test-debian-rust.sh ;;
*) die "there is no step '${1:-}'; scripts/step.sh names them" ;;
esac
