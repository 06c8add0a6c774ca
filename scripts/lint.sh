#!/usr/bin/env bash
# Format, clippy, and the C and shell sources: everything that can be said without running it.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"

cargo fmt --all -- --check
cargo clippy --locked --all-targets --quiet -- -D warnings

# The examples and the test programs in C, as a strict program would compile them.
strict=(-Wall -Wextra -Wpedantic -Werror -fsyntax-only -I include)
while IFS= read -r file; do
    cc -std=c11 -D_GNU_SOURCE "${strict[@]}" "$file"
done < <(git ls-files --cached --others --exclude-standard 'examples/c/*.c' 'tests/*.c')
while IFS= read -r file; do
    c++ -std=c++11 "${strict[@]}" "$file"
done < <(git ls-files --cached --others --exclude-standard 'tests/*.cc' 'tests/*.cpp')

while IFS= read -r file; do
    bash -n "$file"
done < <(git ls-files --cached --others --exclude-standard 'scripts/*.sh' .ci/run)
python3 -m py_compile examples/demo/*.py
say "lint: clean"
