#!/bin/bash -eu
# Builds every fuzz target by the conventions of OSS-Fuzz and ClusterFuzzLite: CC, CXX, CFLAGS, CXXFLAGS
# and LIB_FUZZING_ENGINE come from the engine; programs, seed corpora, dictionaries and options go to OUT.
# No build system of ours: the engine's flags decide everything, and the image's CMake may be too old.

root="${SRC:?}/heapgauge"
work="${WORK:-/tmp}/heapgauge"
mkdir -p "$work" "${OUT:?}"
includes=(-I"$root/core/include" -I"$root/core/src" -I"$root/backends/include" -I"$root/fuzz")
flags=(-std=gnu11 -D_GNU_SOURCE -DHG_HARDENED=0 -DHG_PRELOAD=0 '-DHG_VERSION="fuzz"'
       -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free
       -fno-builtin-aligned_alloc -fno-builtin-posix_memalign -fno-builtin-memalign)
if [[ "${SANITIZER:-}" != coverage && -n "${SANITIZER:-}" && "$SANITIZER" != none ]]; then
    flags+=(-DHG_SANITIZED=1)
fi

objects=()
compile() {
    local object
    object="$work/$(printf '%s' "${1#"$root"/}" | tr / _).o"
    # shellcheck disable=SC2086 # CFLAGS is a list of words
    $CC $CFLAGS "${flags[@]}" "${includes[@]}" "${@:2}" -c "$1" -o "$object"
    objects+=("$object")
}

for file in "$root"/core/src/*.c; do
    [[ $file == */preload.c ]] || compile "$file"
done
for file in "$root"/backends/*.c "$root"/backends/{oracle,faults}/*.c; do
    compile "$file"
done
for file in "$root"/fuzz/*.c; do
    case "${file##*/}" in
    engine.c | replay_main.c | campaign.c | reduce.c | shrink.c | seeds.c | afl.c) ;;
    *) compile "$file" ;;
    esac
done

# differential is left out: a sanitizer lets no other malloc be loaded beside its own.
for target in layout libc threads environment native first parallel core_inside trace_reader; do
    # shellcheck disable=SC2086
    $CC $CFLAGS "${flags[@]}" "${includes[@]}" "-DHG_FUZZ_TARGET=hg_fuzz_target_$target" \
        -c "$root/fuzz/engine.c" -o "$work/engine_$target.o"
    # shellcheck disable=SC2086
    $CXX $CXXFLAGS "$work/engine_$target.o" "${objects[@]}" $LIB_FUZZING_ENGINE \
        -l:libzstd.a -l:libmd.a -lpthread -ldl -o "$OUT/fuzz_$target"
    (cd "$root/fuzz/corpus/$target" && zip -q -j "$OUT/fuzz_${target}_seed_corpus.zip" ./*)
    cp "$root/fuzz/heapgauge.dict" "$OUT/fuzz_$target.dict"
    printf '[libfuzzer]\nmax_len = 4104\ntimeout = 25\n' >"$OUT/fuzz_$target.options"
done
