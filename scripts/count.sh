#!/usr/bin/env bash
# Counts the lines of code of each layer of the library, without blank lines, comments and tests.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"

find src -name '*.rs' ! -name '*tests.rs' | sort | xargs awk '
    FNR == 1 { tests = 0; layer = FILENAME; sub(/^src\//, "", layer); sub(/[\/.].*/, "", layer) }
    # The tests are the last part of a file.
    /^#\[cfg\(test\)\]$/ { getline; if (/^mod .*\{$/) tests = 1 }
    tests || /^[ \t]*(\/\/|$)/ { next }
    { lines[layer]++; all++ }
    END {
        for (layer in lines) printf "%6d  %s\n", lines[layer], layer | "sort -rn"
        close("sort -rn")
        printf "%6d  in all\n", all
    }'
