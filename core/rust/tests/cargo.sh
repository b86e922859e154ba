#!/usr/bin/env bash
# cargo.sh CORE_FOLDER LIBRARY_FOLDER SCRATCH
#
# The crate through cargo, offline and without a lock file: once compiling the core itself, once with all
# features on the libraries of this build; the example runs. Works on a copy: cargo writes beside its input.
# Exit status: 77 if there is no cargo.

set -euo pipefail

cargo --version >/dev/null 2>&1 || {
    echo "skipped: cargo is not installed: apt-get install cargo"
    exit 77
}

copy="$3/cargo"
rm -rf "$copy"
mkdir -p "$copy"
cp -r "$1" "$copy/core"
cd "$copy/core/rust"
env -u HEAPGAUGE_LIB_DIR cargo build --quiet --offline --release --examples
target/release/examples/on_core 2
HEAPGAUGE_LIB_DIR="$2" cargo build --quiet --offline --release --examples --all-features
HEAPGAUGE_BACKEND=system target/release/examples/on_any 2
HEAPGAUGE_BACKEND=target/release/examples/libbump.so target/release/examples/on_any 2
