#!/bin/bash -eu
# Builds every fuzz target by the conventions of OSS-Fuzz and ClusterFuzzLite: CC, CXX, CFLAGS, CXXFLAGS
# and LIB_FUZZING_ENGINE come from the engine; programs, seed corpora, dictionaries and options go to OUT.
# No build system of ours: the engine's flags decide everything, and the image's CMake may be too old.

root="${SRC:?}/heapgauge"
work="${WORK:-/tmp}/heapgauge"
mkdir -p "$work" "${OUT:?}"
includes=(-I"$root/core/include" -I"$root/core/src" -I"$root/backends/include" -I"$root/fuzz")
flags=(-std=gnu11 -D_GNU_SOURCE -Wno-macro-redefined -DHG_HARDENED=0 -DHG_PRELOAD=0 '-DHG_VERSION="fuzz"'
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
    # What only the preload library has: malloc and operator new by their own names.
    [[ $file == */preload.c || $file == */operators.c ]] || compile "$file"
done
for file in "$root"/backends/*.c "$root"/backends/oracle/*.c "$root"/backends/faults/*.c; do
    compile "$file"
done
for file in "$root"/fuzz/*.c; do
    case "${file##*/}" in
    engine.c | replay_main.c | seeds.c | flat.c | afl.c) ;; # with a main or an engine
    campaign.c | cell.c | corpus.c | found.c | libfuzzer.c | reduce.c | shrink.c) ;; # the command's
    *) compile "$file" ;;
    esac
done

# kernel needs one to talk to. differential: a sanitizer lets no other malloc be loaded beside its own. Under memory
# trace_reader is left out, too: the libzstd of the image is not instrumented, what it writes would count as unwritten.
targets=(layout libc threads environment native first parallel core_inside)
[[ "${SANITIZER:-}" == memory ]] || targets+=(trace_reader)
for target in "${targets[@]}"; do
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
