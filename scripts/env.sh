# Sourced by the other scripts: finds the tools, and the Rust toolchain that is new enough.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
RUST_WANTED=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")

# The cargo profile of the Python package, of the module for HAProxy and of sprat-hap. `guest` is the
# one that they are shipped with. Tests take `dev`: it shares its dependencies with `cargo test`, and
# takes a fifth of the time to build.
PROFILE=${SPRAT_PROFILE:-guest}
BUILT=$TARGET/${PROFILE/#dev/debug}

# The scripts build everything once and seldom again, which incremental compilation makes slower.
export CARGO_INCREMENTAL=0

# Administration tools (ip, nft) are not on every user's path.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin:/usr/sbin:/sbin
export PATH

# True if version $1 is at least version $2.
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# Prints the version of the cargo that would run, or nothing.
cargo_version() {
    cargo --version 2>/dev/null | cut -d ' ' -f 2
}

# Chooses a Rust that is new enough: the cargo on the path; a toolchain that rustup holds, even if
# its default is older; the packages of the system, even if another cargo stands before them on the
# path. Changes nothing if there is none: scripts/setup.sh installs one.
choose_rust() {
    local toolchain have
    ! at_least "$(cargo_version)" "$RUST_WANTED" || return 0
    if command -v rustup >/dev/null; then
        for toolchain in "$RUST_WANTED" "$RUST_WANTED.0" stable; do
            have=$(RUSTUP_AUTO_INSTALL=0 rustup run "$toolchain" cargo --version 2>/dev/null |
                cut -d ' ' -f 2)
            if at_least "$have" "$RUST_WANTED"; then
                export RUSTUP_TOOLCHAIN=$toolchain
                return
            fi
        done
    fi
    have=$(/usr/bin/cargo --version 2>/dev/null | cut -d ' ' -f 2)
    ! at_least "$have" "$RUST_WANTED" || PATH=/usr/bin:$PATH
}
choose_rust

say() { printf '%s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The cdylib and the staticlib of the release profile, built if anything changed. Not by
# `cargo build`: that makes an rlib as well, and leaves out the optimisation across crates then.
build_release() {
    (cd "$ROOT" && cargo rustc --locked --release --lib --crate-type cdylib,staticlib --quiet) ||
        die "the library does not build"
}

# The module for HAProxy and sprat-hap, in the folder $BUILT.
build_haproxy() {
    (cd "$ROOT" && cargo build --locked --quiet --profile "$PROFILE" -p sprat-lua -p sprat-hap) ||
        die "the module for HAProxy does not build"
}

# Compiles a program of examples/c to $1, against the library as `make install` lays it out beside,
# and other libraries that are named.
build_example() {
    local out=$1 prefix flags
    shift
    prefix=$(dirname "$out")
    build_release
    PREFIX=$prefix LIBDIR= INCLUDEDIR= DESTDIR= "$ROOT/scripts/install.sh" install
    read -r -a flags <<<"$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig \
        pkg-config --cflags --libs sprat "$@")"
    cc -Wall -Wextra -Werror -o "$out" "$ROOT/examples/c/$(basename "$out").c" "${flags[@]}" \
        -Wl,-rpath,"$prefix/lib"
}
