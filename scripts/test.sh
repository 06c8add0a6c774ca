#!/usr/bin/env bash
# Runs all tests. `make test` calls `test.sh`, which runs a few seeds and the essential cases;
# `make test-all` calls `test.sh all`, which runs every seed and case, fuzzes the decoders and a
# node, and also builds and tries everything as it is shipped.
#
# Steps that mostly wait (for agents, timeouts, HAProxy) run at the same time as steps that compute.
# The computing steps have a lower priority, so that they do not delay the timers of the waiting
# steps. The log of each step is printed when the step and all before it have ended, so that the
# order is always the same. A step that fails does not stop the others; the last line names the
# steps that failed. At the time limit of the run, or on a signal, the steps under way are ended,
# and their logs are printed as well: such a log shows which test hangs.
set -uo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT" || exit 1

export SPRAT_TEST_LEVEL=${1:-quick}
steps=(build-bindings build build-tests lint tests sockets documentation install oldest-rust interop
    examples python haproxy demo)
case $SPRAT_TEST_LEVEL in
quick) LIMIT=3000 ;; # seconds
all) steps+=(fuzz wheel reference peers) LIMIT=21600 ;;
*) die "usage: test.sh [all], not '$1'" ;;
esac
LOGS=$TARGET/test
rm -rf "$LOGS"
mkdir -p "$LOGS"

# Runs a step. Writes its output to NAME.log; writes its exit status, the time that it took, and its
# processor time to NAME.end, with both times in seconds.
step() {
    local name=$1 TIMEFORMAT='%0R %0U %0S' status took user system
    { time scripts/step.sh "$name" >"$LOGS/$name.log" 2>&1 </dev/null; } 2>"$LOGS/$name.time"
    status=$?
    read -r took user system <"$LOGS/$name.time"
    echo "$status $took $((user + system))" >"$LOGS/$name.new"
    mv "$LOGS/$name.new" "$LOGS/$name.end"
}

# Waits until a step has ended. Fails if all lanes have ended without it.
after() {
    while [ ! -e "$LOGS/$1.end" ]; do
        [ ! -e "$LOGS/lanes.end" ] || return 1
        sleep 0.2
    done
}

# Prints the log of a step, if it has begun.
show_log() {
    [ ! -e "$LOGS/$1.log" ] || cat "$LOGS/$1.log"
}

# Waits until a step has ended, and prints its log and its result.
report() {
    local status took processor verdict=ok
    after "$1" || true
    say "=== $1"
    show_log "$1"
    if [ ! -e "$LOGS/$1.end" ]; then
        say "=== $1: NOT ENDED"
        failed+=("$1")
        return
    fi
    read -r status took processor <"$LOGS/$1.end"
    [ "$status" = 0 ] || { verdict=FAILED && failed+=("$1"); }
    say "=== $1: $verdict ($took s, $processor s of processor time)"
    total=$((total + processor))
}

# The lanes. A lane runs its steps one after the other; all lanes run at the same time.
computing() {
    renice -n 5 "$BASHPID" >/dev/null
    step build-bindings # the tests of the bindings wait while the other tests are built
    step build-tests
    step tests
    step documentation
    [ "$SPRAT_TEST_LEVEL" = all ] || return 0
    step fuzz
}

# Building the release library takes one processor for a minute. Lint checks code in the folder in
# which the tests are built, where only one cargo can work at a time.
releasing() {
    renice -n 5 "$BASHPID" >/dev/null
    step build
    step install
    step oldest-rust
    after build-tests
    step lint
    [ "$SPRAT_TEST_LEVEL" = all ] || return 0
    step peers
}

waiting() {
    after build-tests
    step interop
}

guests() {
    after build-tests
    after build
    step sockets
    step examples
}

balancing() {
    after build-bindings
    after build
    step haproxy
    step demo
}

bindings() {
    after build-bindings
    step python
    [ "$SPRAT_TEST_LEVEL" = all ] || return 0
    step wheel
    step reference
}

set -m # gives each job a process group, so that all its processes can be ended together
{
    set +m
    computing & releasing & waiting & guests & balancing & bindings &
    wait
    touch "$LOGS/lanes.end"
} &
lanes=$!
{
    sleep "$LIMIT"
    say "the time limit of $LIMIT s has passed"
    kill -- "-$lanes"
    touch "$LOGS/lanes.end"
} &
limit=$!
set +m
trap 'kill -- "-$lanes" "-$limit" 2>/dev/null' EXIT

# Ends the run because of a signal: prints the logs of the steps under way.
interrupted() {
    local name
    for name in "${steps[@]}"; do
        [ -e "$LOGS/$name.log" ] && [ ! -e "$LOGS/$name.end" ] || continue
        say "=== $name: under way"
        show_log "$name"
    done
    exit "$1"
}
trap 'interrupted 130' INT
trap 'interrupted 143' TERM

failed=()
total=0
for name in "${steps[@]}"; do report "$name"; done
say "processor time of all steps: $total s"
if [ ${#failed[@]} != 0 ]; then
    say "FAILED: ${failed[*]}"
    exit 1
fi
say "all tests passed in $SECONDS s"
