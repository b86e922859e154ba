# Shared by the scripts here; to be sourced. Defines HG_ROOT and a few verbs.
# shellcheck shell=bash

HG_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck disable=SC2034  # used by those who source this
HG_PYTHON=/usr/bin/python3 # the distribution's: its packages are for no other
HG_JOBS="$(nproc)"

# Line on stderr: progress, never a result.
say() {
    printf '%s\n' "$*" >&2
}

# What stops us is the user's to mend: say it and end with 2.
die() {
    say "$(basename "$0"): $*"
    exit 2
}

# Prints the comment block at the top of a script: its --help.
print_help() {
    sed -n '2,/^$/{/^$/q;s/^# \{0,1\}//;p}' "$1"
}

# Wraps a command in a title and the time it took.
step() {
    local title="$1" start=$SECONDS
    shift
    say "== $title"
    "$@" || {
        local status=$?
        say "== $title: failed after $((SECONDS - start)) s"
        return "$status"
    }
    say "== $title: $((SECONDS - start)) s"
}

# Runs a noisy command with its output in a log; shows the log's end if it fails.
quietly() {
    local log="$1"
    shift
    mkdir -p "$(dirname "$log")"
    if ! "$@" >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        say "(all of it: ${log#"$HG_ROOT"/})"
        return 1
    fi
}

# Configures and builds a preset.
build_preset() {
    local preset="$1" log="$HG_ROOT/build/logs/build-$1.log"
    (cd "$HG_ROOT" && quietly "$log.configure" cmake --preset "$preset" &&
        quietly "$log" cmake --build --preset "$preset" -- -j "$HG_JOBS")
}
