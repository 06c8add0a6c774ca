# Sourced by the other scripts after env.sh. Holds the functions that make a virtual environment in
# target/python and install the wheel there. The environment has the tools for the Python package,
# in the versions that bindings/python/requirements-dev.txt pins.

VENV=$TARGET/python
PACKAGE=$ROOT/bindings/python

# Creates the environment, or creates it again if the requirements have changed.
python_env() {
    local wanted=$PACKAGE/requirements-dev.txt
    ! cmp -s "$wanted" "$VENV/requirements.txt" || return 0
    say "making the Python environment $VENV"
    command -v python3 >/dev/null || die "python3 is missing"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "Python 3.11 or later is needed; python3 is $(python3 --version)"
    rm -rf "$VENV"
    python3 -m venv "$VENV" || die "python3 -m venv does not work; Debian has it in python3-venv"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" ||
        die "pip could not install $wanted"
    cp "$wanted" "$VENV/requirements.txt"
}

# Builds the wheel for this machine in target/wheels/PROFILE, and installs it into the environment.
# Does not touch the environment if the same wheel is installed, because other tests may be using
# the environment. Steps that run at the same time take turns.
install_wheel() {
    mkdir -p "$TARGET/wheels"
    (
        flock 9
        build_and_install_wheel "$TARGET/wheels/$PROFILE" 9>&-
    ) 9>"$TARGET/wheels/lock"
}

build_and_install_wheel() { # folder
    local content
    rm -rf "$1"
    (cd "$PACKAGE" && "$VENV/bin/maturin" build --profile "$PROFILE" --locked --quiet --out "$1" \
        --target-dir "$TARGET") ||
        die "the wheel does not build"
    content=$(wheel_content "$1"/*.whl)
    [ "$content" != "$(cat "$VENV/wheel.content" 2>/dev/null)" ] || return 0
    rm -f "$VENV/wheel.content"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps \
        "$1"/*.whl || die "the wheel cannot be installed"
    printf '%s\n' "$content" >"$VENV/wheel.content"
}

# Prints the names and checksums of the files in a wheel. Leaves out the bill of materials, in which
# each build has a number of its own, and the record, which holds the checksum of that bill.
wheel_content() {
    python3 -c 'import sys, zipfile
for info in zipfile.ZipFile(sys.argv[1]).infolist():
    if "/sboms/" not in info.filename and not info.filename.endswith("/RECORD"):
        print(f"{info.CRC:08x} {info.filename}")' "$1"
}
