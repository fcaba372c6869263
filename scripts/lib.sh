# shellcheck shell=bash
# What scripts/demo and scripts/test share: they install what a bare Debian or Ubuntu
# machine lacks.  Whatever is there already is left alone, so a second run is quick.

export PATH="$PATH:/usr/sbin:/sbin"
unset PYTHONDONTWRITEBYTECODE PYTHONPATH

VENV=.venv

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$(basename "$0"): $*"
    exit 1
}

require_root() {
    [ "$(id -u)" = 0 ] || die "namespaces need root; type: sudo $0 $*"
}

# install_missing COMMAND:PACKAGE... or /FILE:PACKAGE...
install_missing() {
    local each missing=()
    for each in "$@"; do
        [[ $each == /* && -e ${each%%:*} ]] || command -v "${each%%:*}" >/dev/null || missing+=("${each#*:}")
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

install_packages() {
    command -v apt-get >/dev/null || die "please install $*: there is no apt-get here"
    say "Installing $*"
    [ -n "${APT_IS_FRESH:-}" ] || apt-get update -qq >/dev/null || die "apt-get update fails"
    APT_IS_FRESH=yes
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" \
        </dev/null >/dev/null || die "apt-get install $* fails"
}

# The library that fusepy loads; Debian and Ubuntu don't agree on its name.
install_libfuse2() {
    ldconfig -p | grep -q 'libfuse\.so\.2 ' && return
    if apt-cache show libfuse2t64 >/dev/null 2>&1; then
        install_packages libfuse2t64
    else
        install_packages libfuse2
    fi
}

# A python that can make virtual environments; nothing if there is none.
find_python() {
    local each
    for each in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$each" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
            >/dev/null 2>&1; then
            echo "$each"
            return
        fi
    done
}

# The distribution's default python, or the oldest other that is new enough.
install_python() {
    local version
    install_packages python3 python3-venv
    [ -z "$(find_python)" ] || return 0
    for version in 3.11 3.12 3.13 3.14; do
        if apt-cache show "python$version-venv" >/dev/null 2>&1; then
            install_packages "python$version" "python$version-venv"
            return
        fi
    done
    die "no Python 3.11 or newer here, and none to install"
}

# install_into_venv REQUIREMENT...: with pip, unless the same was installed before.
install_into_venv() {
    local stamp wanted
    # A virtual environment that was moved is none any more.
    if [ "$(cat "$VENV/place" 2>/dev/null)" != "$PWD" ] || ! "$VENV/bin/python" -c ''; then
        [ -n "$(find_python)" ] || install_python
        say "Making a virtual environment in $VENV"
        "$(find_python)" -m venv --clear "$VENV"
        printf '%s\n' "$PWD" >"$VENV/place"
    fi
    stamp="$VENV/installed-$(basename "$0")"
    wanted=$(printf '%s\n' "$@" | cat - pyproject.toml | sha256sum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        say "Installing into $VENV: $*"
        "$VENV/bin/python" -m pip install -qq --disable-pip-version-check "$@"
        printf '%s\n' "$wanted" >"$stamp"
    fi
}
