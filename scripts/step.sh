#!/usr/bin/env bash
# Runs one step of the tests: `step.sh NAME`, with one of the names below. `scripts/test.sh all`
# runs all steps, scripts/soak.sh repeats some of them.
#
# With SPRAT_TEST_LEVEL=all, a step runs every seed and every case, and the bindings are built as
# they are shipped. Otherwise a step runs only a few seeds, and the bindings are built quickly.
set -euo pipefail
export SPRAT_TEST_LEVEL=${SPRAT_TEST_LEVEL:-quick}
if [ "$SPRAT_TEST_LEVEL" = all ]; then
    export SPRAT_PROFILE=${SPRAT_PROFILE:-guest}
else
    export SPRAT_PROFILE=${SPRAT_PROFILE:-guest-dev}
fi
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"
cd "$ROOT"

# The tests of network faults make network namespaces, which needs root. sudo runs the tests, not
# the compiler.
if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null; then
    triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${triple}_RUNNER=sudo -E env PATH=$PATH"
fi

# The tests of the library that mostly compute. The others mostly wait, and are steps of their own.
library_tests=(--lib)
for file in tests/*.rs; do
    case $(basename "$file" .rs) in
    abi | interop | node) ;;
    *) library_tests+=(--test "$(basename "$file" .rs)") ;;
    esac
done

case ${1:-} in
lint) scripts/lint.sh ;;
build) build_release ;;
build-tests) # the tests of the library, and the library for the examples in Rust
    cargo test --locked --quiet --no-run "${library_tests[@]}" --test abi --test node --test interop
    cargo build --locked --quiet --lib --example watch
    ;;
build-bindings) # the bindings, their tests and the Python environment
    cargo test --locked --quiet --no-run --profile guest-dev -p sprat-haproxy -p sprat-hap
    build_haproxy
    python_env
    install_wheel
    ;;
tests) cargo test --locked --no-fail-fast "${library_tests[@]}" ;;
sockets) cargo test --locked --no-fail-fast --test abi --test node ;;
documentation) # that of the public items comes last, and stays in target/doc
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet --document-private-items \
        --features internals,spoe,mdns
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
    cargo test --locked --doc
    ;;
interop) # these tests mostly wait, so more of them run at once than there are processors
    RUST_TEST_THREADS=6 cargo test --locked --no-fail-fast --test interop -- --skip attack::
    # The attacks use all processor time, so no other test runs at the same time.
    cargo test --locked --test interop attack::
    ;;
fuzz) FUZZ_RUNS=50000 scripts/fuzz.sh ;;
install) scripts/test-install.sh ;;
examples) scripts/test-examples.sh ;;
python) scripts/test-python.sh ;;
haproxy) scripts/test-haproxy.sh ;;
demo) examples/haproxy/run.sh ;;
wheel) scripts/wheel.sh ;;
reference) scripts/python-docs.sh ;;
oldest-rust) scripts/test-oldest-rust.sh ;;
peers) # the comparison with other programs, as small as it can be
    export SPRAT_BENCH_NODES=3 SPRAT_BENCH_REST=1 SPRAT_BENCH_KILLS=1
    export SPRAT_BENCH_ROUNDS=1 SPRAT_BENCH_CROWD_REST=1
    scripts/bench.sh peers size
    ;;
*) die "there is no step '${1:-}'; scripts/step.sh names them" ;;
esac
