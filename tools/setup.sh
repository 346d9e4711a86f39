# tools/setup.sh -- sourced by demo.sh and test.sh: packages, configuring, building.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Plain POSIX sh. Installs what is missing through apt where it may; where it may not, it
# prints the line to run and stops. Nothing is installed or built twice.

say() { printf '%s\n' "$*"; }
stop() {
    say "$*" >&2
    exit 1
}

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build=$root/build/release

build_packages="cmake pkg-config libopenblas-dev libgsl-dev libjansson-dev libxxhash-dev
zlib1g-dev libcsv-dev libcairo2-dev libpango1.0-dev libpcre2-dev libutf8proc-dev
libpng-dev fonts-dejavu-core"

# missing PACKAGE... : those that dpkg does not have installed, on one line.
missing() {
    for package; do
        state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) || state=
        case $state in
        ii*) ;;
        *) printf '%s ' "$package" ;;
        esac
    done
}

apt_install() {
    "$@" apt-get -o DPkg::Lock::Timeout=300 -qq update </dev/null &&
        "$@" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
            -qq -y --no-install-recommends install $need </dev/null
}

# need_packages PACKAGE... : installs what is missing, or says what to run.
need_packages() {
    if ! command -v dpkg-query >/dev/null 2>&1; then
        say "No dpkg here: the Debian packages wanted are: $*"
        return 0
    fi
    command -v cc >/dev/null 2>&1 && command -v make >/dev/null 2>&1 ||
        set -- gcc libc6-dev make "$@"
    need=$(missing "$@")
    [ -n "$need" ] || return 0
    line="apt-get update && apt-get install --no-install-recommends ${need% }"
    if [ "$(id -u)" -eq 0 ]; then
        say "Installing with apt: ${need% }"
        apt_install env || stop "apt failed. Please run: $line"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        say "Installing with apt: ${need% }"
        apt_install sudo -n || stop "apt failed. Please run as root: $line"
    else
        stop "Packages are missing and this user may not install them. Please run as root:

    $line

and then this script again."
    fi
    need=$(missing "$@")
    [ -z "$need" ] || stop "Still missing after apt: $need"
}

# configure OPTION... : only when the build folder does not stand like that already.
configure() {
    cache=$build/CMakeCache.txt
    if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$cache"; then
        say "The source tree has moved: starting $build afresh."
        rm -rf "$build"
    fi
    todo=
    for option; do
        name=${option#-D}
        grep -q "^${name%%=*}:[A-Z]*=${name#*=}\$" "$cache" 2>/dev/null || todo=yes
    done
    [ -z "$todo" ] ||
        cmake -S "$root" -B "$build" "$@" >"$root/build/configure.log" 2>&1 || {
        tail -n 20 "$root/build/configure.log" >&2
        stop "Configuring failed; the whole log is $root/build/configure.log"
    }
}

# compile [TARGET] : with all processors; quiet unless something is built.
compile() {
    cmake --build "$build" --parallel "$(getconf _NPROCESSORS_ONLN)" ${1:+--target "$1"} \
        >"$root/build/build.log" 2>&1 || {
        grep -n -i -A 5 'error' "$root/build/build.log" | head -n 40 >&2
        stop "Building failed; the whole log is $root/build/build.log"
    }
}
