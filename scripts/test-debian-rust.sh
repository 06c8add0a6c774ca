#!/usr/bin/env bash
# Builds the library with the Rust of Debian's packages. If these packages are not installed or are
# too old, the script says so and succeeds.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"

package=$(dpkg-query -S /usr/bin/rustc 2>/dev/null | cut -d : -f 1 || true)
if [ -z "$package" ]; then
    say "no Debian package of Rust is installed: nothing to try. On Debian 12 the package is rustc-web."
    exit
fi
PATH=/usr/bin:$PATH
unset RUSTUP_TOOLCHAIN
version=$(cargo_version)
if ! at_least "$version" "$RUST_WANTED"; then
    say "$package has Rust $version, older than $RUST_WANTED: nothing to try."
    exit
fi
cargo rustc --locked --lib --quiet --crate-type cdylib,staticlib --target-dir "$TARGET/debian"
say "$package $version builds the library: ok"
