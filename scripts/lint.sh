#!/usr/bin/env bash
# Checks the code without running it: formatting, clippy, Python style and types, warnings of the C
# compilers, and the syntax of shell scripts.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"
cd "$ROOT"

cargo fmt --all -- --check
rustfmt --edition 2024 --check benches/peers/src/*.rs benches/peers/src/bin/*.rs
cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
# The library as its users build it: without test code, with the default features, with mDNS, and
# without the default features.
cargo clippy --locked --lib --quiet -- -D warnings
cargo clippy --locked --lib --features mdns --quiet -- -D warnings
cargo clippy --locked --lib --no-default-features --quiet -- -D warnings

# The comparison with other programs has a lock file of its own, in which a new dependency of the
# library is easily forgotten.
cargo metadata --locked --quiet --format-version 1 --manifest-path benches/peers/Cargo.toml >/dev/null

# The C examples and test programs must compile without a warning.
strict=(-Wall -Wextra -Wpedantic -Werror -fsyntax-only -I include)
while IFS= read -r file; do
    cc -std=gnu11 "${strict[@]}" "$file"
done < <(find examples/c tests -name '*.c' | sort)
while IFS= read -r file; do
    c++ -std=c++11 "${strict[@]}" "$file"
done < <(find tests -name '*.cc' -o -name '*.cpp' | sort)

while IFS= read -r file; do
    bash -n "$file"
done < <(
    find scripts examples benches -name '*.sh' -o -name run -o -name check
    find benches/haproxy/chain -name handler -o -name render
    echo .ci/run
)
python3 - examples/cluster/*.py <<'END'
import ast, sys
for path in sys.argv[1:]:
    ast.parse(open(path).read(), path)
END

python_env
"$VENV/bin/ruff" check --quiet
"$VENV/bin/ruff" format --quiet --check
(
    cd "$PACKAGE"
    export MYPYPATH=python
    "$VENV/bin/mypy" --config-file pyproject.toml python/sprat
    "$VENV/bin/mypy" --config-file pyproject.toml --scripts-are-modules "$ROOT"/examples/python/*.py
    "$VENV/bin/mypy" --config-file pyproject.toml "$ROOT"/examples/haproxy/*.py
    MYPYPATH=python:$ROOT/examples/haproxy:$ROOT/bindings/haproxy/tests \
        "$VENV/bin/mypy" --config-file pyproject.toml "$ROOT"/benches/haproxy/*.py
)
say "lint: clean"
