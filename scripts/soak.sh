#!/usr/bin/env bash
# Checks that no test depends on time or luck: runs each group of tests five times while two other
# processes keep two processors busy. `soak.sh` runs all groups, `soak.sh GROUP...` only the named
# ones.
#
# The results are kept in target/soak, so that the next call continues where this one was stopped.
# Results of another commit are deleted. The log of each run that fails is kept there as well. The
# script ends with a table, and with status 1 if any run has failed. SPRAT_SOAK_RUNS sets the number
# of runs (5), SPRAT_SOAK_LOAD the number of busy processes (2).
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"

# The time limit of a run and of its busy processes, in seconds.
LIMIT=3600
GROUPS_OF_TESTS=(tests sockets interop examples python haproxy demo)
runs=${SPRAT_SOAK_RUNS:-5}
load=${SPRAT_SOAK_LOAD:-2}
[ $# != 0 ] || set -- "${GROUPS_OF_TESTS[@]}"
for group in "$@"; do
    [[ " ${GROUPS_OF_TESTS[*]} " = *" $group "* ]] ||
        die "there is no group '$group'; the groups are: ${GROUPS_OF_TESTS[*]}"
done

folder=$TARGET/soak
mkdir -p "$folder"
results=$folder/results # each line: GROUP RUN STATUS SECONDS
version=$(git describe --always --dirty 2>/dev/null || echo unknown)
if [ "$version" != "$(cat "$folder/version" 2>/dev/null)" ]; then
    rm -f "$folder"/*
    echo "$version" >"$folder/version"
fi
touch "$results"

busy=()
current= # the process of the present run
begin_load() {
    local number
    for ((number = 0; number < load; number++)); do
        timeout "$LIMIT" sh -c 'while :; do :; done' &
        busy+=($!)
    done
}
# A `timeout` that is killed kills its child.
end_load() {
    [ ${#busy[@]} = 0 ] || kill "${busy[@]}" 2>/dev/null || true
    busy=()
}
trap 'end_load; [ -z "$current" ] || kill "$current" 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

run() { # group number
    local log=$folder/$1-$2.log began=$SECONDS status=0
    say "$1, run $2 of $runs: $(date +%T)"
    begin_load
    # In the background, so that a signal stops this script, and the run, at once.
    timeout "$LIMIT" scripts/step.sh "$1" >"$log" 2>&1 </dev/null &
    current=$!
    wait "$current" || status=$?
    current=
    end_load
    echo "$1 $2 $status $((SECONDS - began))" >>"$results"
    if [ "$status" = 0 ]; then
        rm "$log"
    else
        say "$1, run $2 of $runs: FAILED, its log is $log"
    fi
}

say "building"
scripts/step.sh build
scripts/step.sh build-tests
scripts/step.sh build-bindings
for group in "$@"; do
    for ((number = 1; number <= runs; number++)); do
        grep -q "^$group $number " "$results" || run "$group" "$number"
    done
done

awk -v groups="$*" '
    { ran[$1]++; failed[$1] += $3 != 0; failures += $3 != 0
      if ($4 > most[$1]) most[$1] = $4
      if (!($1 in least) || $4 < least[$1]) least[$1] = $4 }
    END {
        printf "%-10s %5s %7s %9s %8s\n", "group", "runs", "failed", "shortest", "longest"
        count = split(groups, names, " ")
        for (i = 1; i <= count; i++)
            printf "%-10s %5d %7d %7d s %6d s\n", names[i], ran[names[i]], failed[names[i]],
                least[names[i]], most[names[i]]
        exit failures != 0
    }' "$results"
