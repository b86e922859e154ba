#!/bin/sh
# The freestanding build (HG_OS=0): nothing of a libc but memcpy, memmove, memset, memcmp; its size; the
# example, run here and, with the distribution's cross compilers and qemu-user, on 32-bit Arm.
# usage: embedded.sh WORKDIR
# Exit status: 0 well, 1 not, 2 usage, 77 no compiler.
set -u
[ $# -eq 1 ] || { echo "usage: embedded.sh WORKDIR" >&2; exit 2; }
core=$(cd "$(dirname "$0")/.." && pwd)
work=$1/embedded.$$
mkdir -p "$work" && cd "$work" || exit 2
trap 'rm -rf "$work"' EXIT
failed=0 ran=0

# build NAME COMPILER FLAGS...: the core as one object, without a header or function of a system.
build() {
    name=$1 cc=$2
    shift 2
    if ! command -v "$cc" >/dev/null 2>&1; then
        echo "left out: $name ($cc is not installed: apt-get install ${cc%-gcc})"
        return 1
    fi
    objects=
    for file in base embedded arena heap core; do
        "$cc" "$@" -std=gnu11 -Os -ffreestanding -ffunction-sections -Wall -Wextra -Werror -DHG_OS=0 \
            -DHG_HARDENED=0 -DHG_CORE_INLINE=0 -I"$core/include" -I"$core/src" \
            -c "$core/src/$file.c" -o "$name.$file.o" || { failed=1; return 1; }
        objects="$objects $name.$file.o"
    done
    # shellcheck disable=SC2086 # a list of files
    "${cc%gcc}ld" -r -o "$name.o" $objects || { failed=1; return 1; }
    # What compilers call for 64-bit arithmetic is theirs.
    needs=$("${cc%gcc}nm" -u "$name.o" | awk '{ print $NF }' |
        grep -vE '^(mem(cpy|move|set|cmp)|__(aeabi_(u?l?i?div(mod)?|mem.*|l[a-z]+)|(ctz|clz|popcount)di2))$')
    if [ -n "$needs" ]; then
        echo "FAILED: $name needs $needs"
        failed=1
    fi
    # shellcheck disable=SC2086
    "${cc%gcc}size" $objects | awk -v name="$name" 'NR > 1 { code += $1; data += $2 + $3 }
        END { printf "size: %s: %d bytes of code, %d of data\n", name, code, data }'
}

# run NAME COMPILER FLAGS... -- RUNNER...: the example on that object.
run() {
    name=$1 cc=$2
    shift 2
    flags=
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        flags="$flags $1"
        shift
    done
    shift
    if [ $# -gt 0 ] && ! command -v "$1" >/dev/null 2>&1; then
        echo "left out: running $name ($1 is not installed: apt-get install qemu-user)"
        return
    fi
    # shellcheck disable=SC2086
    if "$cc" $flags -O2 -DHG_CORE_INLINE=0 -I"$core/include" "$core/examples/embedded.c" "$name.o" \
        -o "$name" && "$@" "./$name"; then
        echo "ok: $name"
        ran=$((ran + 1))
    else
        echo "FAILED: $name"
        failed=1
    fi
}

build host gcc && run host gcc --
build arm-linux arm-linux-gnueabihf-gcc && run arm-linux arm-linux-gnueabihf-gcc -static -- qemu-arm
# Bare metal, newlib, output through semihosting, which qemu-arm answers.
build cortex-m4 arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb
build cortex-m0 arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb
build bare-arm arm-none-eabi-gcc -mcpu=cortex-a7 &&
    run bare-arm arm-none-eabi-gcc -mcpu=cortex-a7 --specs=rdimon.specs -- qemu-arm
[ $failed -eq 0 ] || exit 1
[ $ran -gt 0 ] || { echo "skipped: no compiler: apt-get install gcc"; exit 77; }
