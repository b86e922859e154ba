#!/bin/sh
# What is expected of a malloc by other projects' suites and by real programs, asked of the C library's
# own and of preloaded ones: the same expectations for all, so one that glibc fails is a mistake here.
# usage: conformance.sh WORKDIR LIBRARY...
# Exit status: 0 all met, 1 not, 2 usage, 77 no compiler.
set -u
[ $# -ge 1 ] || { echo "usage: conformance.sh WORKDIR LIBRARY..." >&2; exit 2; }
work=$1/conformance.$$
shift
here=$(cd "$(dirname "$0")" && pwd)/conformance
command -v gcc >/dev/null 2>&1 || { echo "skipped: gcc is not installed: apt-get install gcc"; exit 77; }
mkdir -p "$work" && cd "$work" || exit 2
trap 'rm -rf "$work"' EXIT

# -fno-builtin: a compiler that knows malloc removes what is tested.
gcc -O2 -D_GNU_SOURCE -D_FORTIFY_SOURCE=3 -fno-builtin -Wno-deprecated-declarations -pthread \
    -o c "$here/conform.c" || exit 1
programs="c"
if command -v g++ >/dev/null 2>&1; then
    g++ -std=c++17 -O1 -fno-builtin -pthread -o operators "$here/conform.cc" || exit 1
    g++ -std=c++17 -O1 -fno-builtin -pthread -Wno-sized-deallocation -DREPLACED -o replaced \
        "$here/conform.cc" || exit 1
    programs="c operators replaced"
else
    echo "left out: C++ (g++ is not installed: apt-get install g++)"
fi

failed=0
for library in "" "$@"; do
    for program in $programs; do
        if LD_PRELOAD=$library timeout 100 "./$program"; then
            echo "ok: $program on ${library:-the C library}"
        else
            echo "FAILED: $program on ${library:-the C library}"
            failed=1
        fi
    done
done
exit $failed
