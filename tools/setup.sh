#!/bin/sh
# Installs what a purpose needs and the machine lacks: with apt where there is apt and the right to use
# it; elsewhere it says what to install and fails. Does nothing, quickly, when nothing is missing.
# Usage: tools/setup.sh build|demo|ci|emulators|peers
# SPDX-License-Identifier: Apache-2.0
set -u

# Debian's names. What is optional makes no failure when no archive has it.
required='build-essential cmake pkg-config libpng-dev libjpeg-dev zlib1g-dev libjansson-dev libxxhash-dev libcmocka-dev'
optional=''
foreign=''
case ${1:-build} in
build) ;;
demo) optional='dataset-fashion-mnist time' ;;
ci)
    required="$required clang clang-format locales"
    optional='dataset-fashion-mnist time libonnx-testdata python3-torch python3-torchvision zsh fish'
    ;;
emulators) # other CPUs, and a compiler and libraries for one of them
    required='qemu-user gcc-aarch64-linux-gnu libpng-dev:arm64 libjpeg-dev:arm64 zlib1g-dev:arm64 libjansson-dev:arm64
        libxxhash-dev:arm64 libcmocka-dev:arm64'
    foreign=arm64
    ;;
peers)
    required="$required python3-torch python3-torchvision"
    optional='dataset-fashion-mnist'
    ;;
*)
    echo "usage: tools/setup.sh build|demo|ci|emulators|peers" >&2
    exit 2
    ;;
esac

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    missing=''
    for tool in cc cmake make pkg-config; do
        command -v $tool >/dev/null || missing="$missing $tool"
    done
    if command -v pkg-config >/dev/null; then
        for module in libpng libjpeg zlib jansson libxxhash cmocka; do
            pkg-config --exists $module || missing="$missing $module"
        done
    fi
    [ -z "$missing" ] && exit 0
    echo "setup: this system has no apt; please install, with their headers:$missing" >&2
    exit 1
fi

# pkg-config may be pkgconf in disguise, libjpeg-dev a provided name: ask for what satisfies them.
# NAME:arm64 is a package of another architecture than this machine's.
lacking() {
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Status} ${Architecture} ${Package} ${Provides}\n' 2>/dev/null |
            awk -v want="$package" -v foreign="$foreign" '
                $1 == "installed" {
                    for (i = 3; i <= NF; i++) {
                        name = $i
                        sub(/,$/, "", name)
                        if ($2 == foreign) name = name ":" foreign
                        if (name == want) found = 1
                    }
                }
                END { exit !found }' || echo "$package"
    done
}

missing=$(lacking $required)
wanted=$(lacking $optional)
[ -z "$missing$wanted" ] && exit 0

as_root=''
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null; then
        as_root=sudo
    elif [ -n "$missing" ]; then
        echo "setup: please install as root:" $missing >&2
        exit 1
    else
        exit 0
    fi
fi
install() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

echo "setup: installing" $missing $wanted
[ -z "$foreign" ] || $as_root dpkg --add-architecture "$foreign"
$as_root apt-get update || echo "setup: the package lists could not be renewed; going on with the old ones" >&2
if [ -n "$missing" ] && ! install $missing; then
    echo "setup: please install:" $missing >&2
    exit 1
fi
for package in $wanted; do
    install "$package" || echo "setup: no package $package here; going on without" >&2
done
exit 0
