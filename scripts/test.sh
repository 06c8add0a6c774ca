#!/usr/bin/env bash
# The tests, step by step. `test.sh` is `make test`: fixed seeds, and the essential cases of each
# matrix. `test.sh all` is `make test-all`: every seed and case, longer fuzzing, and whatever is
# shipped built and tried as it is shipped.
#
# Steps that mostly wait (for agents, timeouts, HAProxy) run beside steps that compute; the latter
# run with lower priority, so that they delay no one's timers. Each step writes a log, and the logs
# are printed whole in the order of `steps`. All steps run even if an early one fails, so that one
# run shows everything that is wrong; the end says which failed.
set -uo pipefail
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"
cd "$ROOT" || exit 1

export SPRAT_TEST_LEVEL=${1:-quick}
case $SPRAT_TEST_LEVEL in
quick) export SPRAT_PROFILE=dev ;;
all) export SPRAT_PROFILE=guest ;;
*) die "usage: test.sh [quick|all], not '$1'" ;;
esac
LOGS=$TARGET/test
rm -rf "$LOGS"
mkdir -p "$LOGS"

# Tests of faults make network namespaces. Without root they are run through sudo; the compiler
# is not.
if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null; then
    triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${triple}_RUNNER=sudo -E env PATH=$PATH"
fi

# Runs a step: NAME COMMAND... Its log is NAME.log; NAME.end holds its exit status, how long it took
# and how much processor time, both in seconds.
step() {
    local name=$1 TIMEFORMAT='%0R %0U %0S' status took user system
    shift
    { time "$@" >"$LOGS/$name.log" 2>&1 </dev/null; } 2>"$LOGS/$name.time"
    status=$?
    read -r took user system <"$LOGS/$name.time"
    echo "$status $took $((user + system))" >"$LOGS/$name.new"
    mv "$LOGS/$name.new" "$LOGS/$name.end"
}

# Waits until a step has ended, well or not; fails if it never will, because its lane is gone.
after() {
    while [ ! -e "$LOGS/$1.end" ]; do
        [ ! -e "$LOGS/lanes.end" ] || return 1
        sleep 0.2
    done
}

# Prints the log of a step once it has ended.
report() {
    local status took processor verdict=ok
    after "$1" || echo "1 0 0" >"$LOGS/$1.end"
    read -r status took processor <"$LOGS/$1.end"
    say "=== $1"
    cat "$LOGS/$1.log"
    [ "$status" = 0 ] || { verdict=FAILED && failed+=("$1"); }
    say "=== $1: $verdict ($took s, $processor s of processor time)"
    total=$((total + processor))
}

# The tests of the library by file; those with agents are a step of their own.
library_tests() {
    local file
    echo --lib
    for file in tests/*.rs; do
        [ "$file" = tests/interop.rs ] || echo --test "$(basename "$file" .rs)"
    done
}

build_tests() {
    local tests
    read -r -d '' -a tests < <(library_tests)
    cargo test --locked --quiet --no-run "${tests[@]}" --test interop &&
        cargo build --locked --quiet --lib --example watch &&
        cargo test --locked --quiet --no-run -p sprat-haproxy -p sprat-hap &&
        build_haproxy && install_wheel
}

rust_tests() {
    local tests
    read -r -d '' -a tests < <(library_tests)
    cargo test --locked --no-fail-fast "${tests[@]}"
}

doc_tests() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet && cargo test --locked --doc
}

interop() {
    RUST_TEST_THREADS=6 cargo test --locked --no-fail-fast --test interop
}

fuzz() {
    local runs=2000
    [ "$SPRAT_TEST_LEVEL" != all ] || runs=50000
    FUZZ_RUNS=$runs scripts/fuzz.sh
}

# Lanes: each runs its steps one after the other, and all lanes run at the same time.
computing() {
    renice -n 5 "$BASHPID" >/dev/null
    step lint scripts/lint.sh
    step build-tests build_tests
    step tests rust_tests
    step documentation doc_tests
    step fuzz fuzz
}

releasing() {
    renice -n 5 "$BASHPID" >/dev/null
    # One processor works on it for a minute, beside lint.
    step build build_release
    step install scripts/test-install.sh
}

waiting() {
    after build-tests
    step interop interop
    after build
    step examples scripts/test-examples.sh
    step demo examples/haproxy/run.sh
}

bindings() {
    after build-tests
    after build
    step python scripts/test-python.sh
    step haproxy scripts/test-haproxy.sh
}

steps=(lint build build-tests tests documentation fuzz install interop examples python haproxy demo)
python_env || exit 1 # two lanes use it
set -m # makes each job a process group, which can be ended whole
{
    set +m
    computing & releasing & waiting & bindings &
    wait
    touch "$LOGS/lanes.end"
} &
trap 'kill -- "-$!" 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

failed=()
total=0
for name in "${steps[@]}"; do report "$name"; done
say "processor time of all steps: $total s"
if [ ${#failed[@]} != 0 ]; then
    say "FAILED: ${failed[*]}"
    exit 1
fi
say "all tests passed in $SECONDS s"
