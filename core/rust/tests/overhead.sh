#!/usr/bin/env bash
# overhead.sh C_PROGRAM RUST_PROGRAM
#
# Instructions per operation (callgrind) of the same loop in C and through the crate: `direct` calls the
# methods of Heapgauge, `global` goes through Rust's own calls behind #[global_allocator]. Neither may cost
# more than 3 % above C; global may always cost the two jumps that rustc puts before the allocator.
# Exit status: 0 so it is; 1 not; 77 valgrind is not there.

set -euo pipefail

command -v valgrind >/dev/null || {
    echo "skipped: valgrind is not installed: apt-get install valgrind"
    exit 77
}

few=100 many=1100 # rounds; what start and end of a process cost cancels out
blocks=64

instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 | sed -n 's/.*Collected : //p'
}

# Per operation, in hundredths: hundredths OPERATIONS_PER_BLOCK PROGRAM WORDS...
hundredths() {
    local operations=$(($1 * blocks * (many - few))) program="$2" begin end
    shift 2
    begin="$(instructions "$program" "$few" "$@")"
    end="$(instructions "$program" "$many" "$@")"
    echo $(((end - begin) * 100 / operations))
}

status=0
printf '%-8s %-7s %20s %8s\n' loop through instructions_per_op above_c
for loop in "pair 2" "realloc 3"; do
    read -r name operations <<<"$loop"
    in_c="$(hundredths "$operations" "$1" "$name")"
    printf '%-8s %-7s %17d.%02d\n' "$name" C $((in_c / 100)) $((in_c % 100))
    for way in direct global; do
        through="$(hundredths "$operations" "$2" "$name" "$way")"
        permille=$(((through - in_c) * 1000 / in_c))
        printf '%-8s %-7s %17d.%02d %6s %%\n' "$name" "$way" $((through / 100)) $((through % 100)) \
            "$(awk -v p="$permille" 'BEGIN { printf "%+.1f", p / 10 }')"
        [[ $permille -le 30 || ($way == global && $((through - in_c)) -le 200) ]] || status=1
    done
done
exit "$status"
