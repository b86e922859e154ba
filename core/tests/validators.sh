#!/bin/sh
# Every sentence that a validator of the core can say must be expected by a row of test_layers.c: a check
# that has not been seen to fail is none. usage: validators.sh
here=$(cd "$(dirname "$0")" && pwd)
expected=$(grep -oE '"(arena|heap|cache): [^"]*"' "$here/test_layers.c" | tr -d '"' | sort -u)
grep -ohE '"(arena|heap|cache): [^"]*"' "$here"/../src/*.c | tr -d '"' | sort -u | {
    failed=0 count=0
    while read -r sentence; do
        count=$((count + 1))
        echo "$expected" | { while read -r row; do case $sentence in "$row"*) [ ${#row} -gt 8 ] && exit 0 ;; esac; done; exit 1; } ||
            { echo "FAILED: never seen: $sentence"; failed=1; }
    done
    echo "$count sentences"
    [ $count -gt 20 ] || failed=1
    exit $failed
}
