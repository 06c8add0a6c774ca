# Sourced by other scripts, after env.sh. Finds the oldest Rust that Cargo.toml allows, in the
# packages of Debian, and unpacks them into the build folder: they cannot be installed beside
# rustup, and nothing else on the machine should use them.

# Unpacks these packages, and those that they need and that are not installed, into a folder.
unpack_packages() {
    local folder=$1 names
    shift
    command -v apt-get >/dev/null || return 1
    names=$(apt-get --simulate --no-install-recommends install "$@" 2>/dev/null | awk '/^Inst/ { print $2 }')
    [ -n "$names" ] || return 1
    rm -rf "$folder" "$folder.new"
    mkdir -p "$folder.new"
    # shellcheck disable=SC2086 # a list of names
    (cd "$folder.new" && apt-get --quiet --quiet --option APT::Sandbox::User=root download $names)
    for file in "$folder.new"/*.deb; do dpkg -x "$file" "$folder.new"; done
    rm "$folder.new"/*.deb
    mv "$folder.new" "$folder"
}

# Puts the Rust of Debian's packages on the path, from a folder below the build folder, and sets
# DEBIAN_RUST to that folder. The arguments are packages to unpack with it; in their names, `rust-web`
# stands for `rust` where Debian calls the package so.
use_debian_rust() {
    local folder=$TARGET/debian-rust version set
    [ $# = 0 ] || folder=$TARGET/debian-rust-more
    unset RUSTUP_TOOLCHAIN RUSTC
    if [ ! -x "$folder/usr/bin/cargo" ]; then
        set="rustc-web cargo-web $*"
        # shellcheck disable=SC2086 # a list of names
        unpack_packages "$folder" $set || unpack_packages "$folder" ${set//-web/} ||
            die "Debian's packages of Rust could not be downloaded: rustc-web or rustc, and what they need"
    fi
    DEBIAN_RUST=$folder
    PATH=$folder/usr/bin:$PATH
    local triple
    triple=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo x86_64-linux-gnu)
    export LD_LIBRARY_PATH=$folder/usr/lib/$triple:$folder/lib/$triple:$folder/usr/lib/llvm-19/lib
    version=$(cargo_version cargo)
    [ "${version%.*}" = "$RUST_WANTED" ] ||
        die "Debian's packages have Rust $version; the oldest that Cargo.toml allows is $RUST_WANTED"
}
