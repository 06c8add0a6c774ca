#!/usr/bin/env bash
# Checks that the library compiles with the oldest Rust that Cargo.toml allows, as Debian has it; with
# SPRAT_TEST_LEVEL=all, that everything does. If Debian's packages are not installed, the script
# unpacks them into the build folder: they cannot be installed beside rustup.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
FOLDER=$TARGET/oldest-rust

# Downloads the packages of a Rust and of all that it needs, and unpacks them.
unpack() {
    local package=$1 names
    names=$(apt-get --simulate install "$package" "${package/rustc/cargo}" | awk '/^Inst/ { print $2 }')
    [ -n "$names" ] || return 1
    mkdir -p "$FOLDER.new"
    # shellcheck disable=SC2086 # a list of names
    (cd "$FOLDER.new" && apt-get --quiet --quiet download $names)
    for file in "$FOLDER.new"/*.deb; do dpkg -x "$file" "$FOLDER.new"; done
    rm "$FOLDER.new"/*.deb
    mv "$FOLDER.new" "$FOLDER"
}

# Prints the version of a cargo if it is the oldest one that is allowed.
is_oldest() {
    local version
    version=$(cargo_version "$@")
    [ "${version%.*}" = "$RUST_WANTED" ] && printf '%s' "$version"
}

unset RUSTUP_TOOLCHAIN RUSTC
if version=$(is_oldest /usr/bin/cargo); then
    PATH=/usr/bin:$PATH
else
    if [ ! -x "$FOLDER/usr/bin/cargo" ]; then
        rm -rf "$FOLDER" "$FOLDER.new"
        unpack rustc-web || unpack rustc || die "no Debian package has Rust $RUST_WANTED"
    fi
    PATH=$FOLDER/usr/bin:$PATH
    export LD_LIBRARY_PATH=$FOLDER/usr/lib/x86_64-linux-gnu:$FOLDER/usr/lib/llvm-19/lib:$FOLDER/lib/x86_64-linux-gnu
    version=$(is_oldest cargo) ||
        die "Debian's packages have Rust $(cargo_version), the oldest that is allowed is $RUST_WANTED"
fi
case ${SPRAT_TEST_LEVEL:-quick} in
all) what=everything wanted=(--workspace --all-targets --features "internals,spoe") ;;
*) what="the library" wanted=(--lib --no-default-features --features spoe) ;;
esac
cargo check --locked --quiet "${wanted[@]}" --target-dir "$TARGET/oldest"
say "Rust $version compiles $what: ok"
