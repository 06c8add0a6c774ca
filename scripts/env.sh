# Sourced by the other scripts. Finds the tools and a Rust toolchain that is new enough, and holds
# the functions that several scripts use.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
RUST_WANTED=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")

# The cargo profile of the Python package, of the module for HAProxy and of sprat-hap. They are
# shipped as `guest` builds them. Tests use `guest-dev`, which builds in a fraction of the time.
PROFILE=${SPRAT_PROFILE:-guest}
BUILT=$TARGET/$PROFILE

# With these variables, the profiles of `cargo build` and `cargo test` are equal, so that the two
# share their builds.
export CARGO_PROFILE_DEV_OPT_LEVEL=2 CARGO_PROFILE_DEV_DEBUG=line-tables-only

# Incremental compilation makes a first build slower, and most builds of these scripts are first
# builds.
export CARGO_INCREMENTAL=0

# The administration tools ip and nft are not on every user's path.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin:/usr/sbin:/sbin
export PATH

# Succeeds if version $1 is at least version $2.
at_least() {
    printf '%s\n%s\n' "$2" "$1" | sort --check --version-sort 2>/dev/null
}

# Prints the version of cargo, or of the given command; prints nothing if it does not run.
cargo_version() {
    { "${@:-cargo}" --version 2>/dev/null || true; } | cut -d ' ' -f 2
}

# Chooses a Rust that is new enough, in this order: the cargo on the path; a toolchain of rustup,
# even if rustup's default toolchain is older; the system's cargo, even if an older one comes first
# on the path. Changes nothing if no Rust is new enough; scripts/setup.sh installs one.
choose_rust() {
    local toolchain have
    ! at_least "$(cargo_version)" "$RUST_WANTED" || return 0
    if command -v rustup >/dev/null; then
        for toolchain in "$RUST_WANTED" "$RUST_WANTED.0" stable; do
            have=$(RUSTUP_AUTO_INSTALL=0 cargo_version rustup run "$toolchain" cargo)
            if at_least "$have" "$RUST_WANTED"; then
                export RUSTUP_TOOLCHAIN=$toolchain
                return
            fi
        done
    fi
    have=$(cargo_version /usr/bin/cargo)
    ! at_least "$have" "$RUST_WANTED" || PATH=/usr/bin:$PATH
}
choose_rust

say() { printf '%s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Builds the shared and the static library with the release profile, and with the features in
# SPRAT_FEATURES in addition to the default ones. `cargo build` would build an rlib as well, and
# cargo does not optimise across crates if one of the crate types is rlib.
build_release() {
    (cd "$ROOT" && cargo rustc --locked --release --lib --crate-type cdylib,staticlib --quiet \
        --features "${SPRAT_FEATURES:-}") || die "the library does not build"
}

# Builds the module for HAProxy and sprat-hap into the folder $BUILT.
build_haproxy() {
    (cd "$ROOT" && cargo build --locked --quiet --profile "$PROFILE" -p sprat-lua -p sprat-hap) ||
        die "the module for HAProxy does not build"
}

# Compiles examples/c/NAME.c to the path $1, which ends with NAME. Installs the library in the
# folder of that path, and links the program with the library and with the pkg-config packages that
# follow the path.
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
