#!/usr/bin/env bash
# exported.sh HEAPGAUGE FOLDER
#
# Libraries with a layout face of their own, as their authors use them: FOLDER has libbump.so and
# libweak_realloc.so (Rust, by export_backend!) and libtwo_functions.so (C). What they have is checked,
# the planted bug is named, and what they do not have is reported as unsupported, without a crash.

set -uo pipefail

heapgauge="$1" folder="$2"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
failures=0

# expect STATUS PATTERN WORDS...: heapgauge WORDS ends with STATUS and prints PATTERN.
expect() {
    local status="$1" pattern="$2" output ended
    shift 2
    output="$("$heapgauge" "$@" 2>&1)"
    ended=$?
    if [[ $ended -ne $status ]] || ! grep -q -- "$pattern" <<<"$output"; then
        printf 'heapgauge %s\n  ended with %d, not %d, or does not say "%s":\n%s\n' "$*" "$ended" "$status" \
            "$pattern" "$output"
        failures=$((failures + 1))
    fi
}

bump="$folder/libbump.so" weak="$folder/libweak_realloc.so" two="$folder/libtwo_functions.so"
no_libc="no libc face"
trace="$scratch/libc.hgt" layouts="$scratch/layout.hgt"
printf 't0 s0 = malloc(100)\nt0 s1 = calloc(8, 40)\nt0 s0 = realloc(s0, 5000)\nt0 s2 = posix_memalign(64, 64)
t0 s3 = reallocarray(s3, 3, 40)\nt0 free(NULL)\nt0 malloc_usable_size(s1)\nt0 free_sized(s1)\nt0 free(s0)\nt0 free(s2)\n' |
    "$heapgauge" show --parse - -o "$trace" >"$scratch/log" 2>&1 || cat "$scratch/log"
printf 't0 s0 = alloc(100, 64)\nt0 s1 = alloc_zeroed(300, 8)\nt0 s0 = layout_realloc(s0, 5000)\nt0 dealloc(s0)\n' |
    "$heapgauge" show --parse - -o "$layouts" >"$scratch/log" 2>&1 || cat "$scratch/log"

expect 0 'layout face  alloc alloc_zeroed realloc dealloc' backends "$bump"
expect 0 'two functions' backends "$two"

# What is there.
expect 0 ' 0 unsupported' check --layout --ops=50k --backend="$bump"
expect 0 'clean' check --layout --ops=50k --threads=4 --environment --backend="$bump"
expect 0 'clean' check --face=layout --backend="$bump" "$trace"
expect 0 'clean' check --backend="$bump" "$layouts"
expect 0 'clean' check --layout --ops=50k --backend="count:$bump"
expect 0 ' operations ' replay --face=layout --backend="$bump" "$trace"
expect 0 ' 4 operations ' replay --backend="$bump" "$layouts"
expect 0 'clean' check --layout --ops=50k --backend="$two"
expect 0 'calls not supported' replay --backend="$two" "$layouts"
expect 0 '"status": *"ok"' cell "$trace" --face=layout --backend="$bump" --json=-

# The planted bug.
expect 1 'broken *C68' check --layout --backend="$weak"
expect 1 'C68' fuzz --target=layout --time=20 --seed=1 --backend="$weak" -o "$scratch/findings"

# What is not there.
for library in "$bump" "$two"; do
    expect 2 "$no_libc" check --ops=20k --backend="$library"
    expect 2 "$no_libc" check --ops=20k --threads=4 --backend="$library"
    expect 2 "$no_libc" check --backend="$library" "$trace"
    expect 2 "$no_libc" replay --backend="$library" "$trace"
    expect 0 '"status": *"unsupported"' cell "$trace" --backend="$library" --json=-
    expect 0 '"status": *"unsupported"' cell pair/size:64 --backend="$library" --ops=1k --json=-
    expect 2 "$no_libc" check --layout --backend="fault-align-mask:$library"
done
expect 2 'not a malloc library' backends libm.so.6

[[ $failures -eq 0 ]] && echo "every command answers as it should"
exit $((failures > 0))
