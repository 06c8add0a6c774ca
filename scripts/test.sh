#!/usr/bin/env bash
# The tests. `test.sh` is `make test`: fixed seeds, and the essential cases of each matrix.
# `test.sh all` is `make test-all`: every seed and case, longer fuzzing, and whatever is shipped
# built and tried as it is shipped.
#
# Steps that mostly wait (for agents, timeouts, HAProxy) run beside steps that compute; the latter
# run with lower priority, so that they delay nobody's timers. Each step writes a log, and the logs
# are printed whole in a fixed order. All steps run even if an early one fails, so that one run
# shows everything that is wrong; the end says which failed.
set -uo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT" || exit 1

export SPRAT_TEST_LEVEL=${1:-quick}
steps=(lint build build-tests tests documentation fuzz install interop examples python haproxy demo)
case $SPRAT_TEST_LEVEL in
quick) ;;
all) steps+=(wheel reference debian-rust) ;;
*) die "usage: test.sh [all], not '$1'" ;;
esac
LOGS=$TARGET/test
rm -rf "$LOGS"
mkdir -p "$LOGS"

# Runs a step. Its log is NAME.log; NAME.end holds its exit status, how long it took, and how much
# processor time it took, in seconds.
step() {
    local name=$1 TIMEFORMAT='%0R %0U %0S' status took user system
    { time scripts/step.sh "$name" >"$LOGS/$name.log" 2>&1 </dev/null; } 2>"$LOGS/$name.time"
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

# The lanes: each runs its steps one after the other, and all lanes run at the same time.
computing() {
    renice -n 5 "$BASHPID" >/dev/null
    step lint
    step build-tests
    step tests
    step documentation
    step fuzz
}

# The release library takes a processor for a minute, beside lint.
releasing() {
    renice -n 5 "$BASHPID" >/dev/null
    step build
    step install
    [ "$SPRAT_TEST_LEVEL" = all ] || return 0
    step debian-rust
}

waiting() {
    after build-tests
    step interop
    after build
    step examples
    step demo
}

bindings() {
    after build-tests
    after build
    step python
    step haproxy
    [ "$SPRAT_TEST_LEVEL" = all ] || return 0
    step wheel
    step reference
}

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
