#!/usr/bin/env python3
"""compare.py [--table] [--rounds=N] FOLDER

Runs the program of core/rust/examples/work on Rust's System, on the core, and on every backend that is
here, and holds each checksum and count of misaligned blocks against System's. FOLDER has on_system,
on_core, on_any, libbump.so, libweak_realloc.so.

  --table     print the comparison as Markdown: instructions (callgrind), CPU time of interleaved runs
  --rounds=N  rounds of the program for the table (4)

Exit status: 0 as expected; 1 not; 2 usage."""
import getopt
import os
import re
import resource
import statistics
import subprocess
import sys

TIMED_RUNS = 15
# The room in static TLS that jemalloc needs: set here, so that callgrind sees one process, not two.
TUNABLES = "glibc.rtld.optional_static_tls=16384"
SAYS = re.compile(r"checksum (\w+)  over-aligned requests (\d+)  misaligned blocks (\d+)  "
                  r"panic in unwinding (.*)")
# Debian's mimalloc 2.0.9 gives mi_malloc_aligned(1024, 512) 128-byte alignment, as `heapgauge check
# --layout --backend=mimalloc` shows: seen from Rust too, reported, not a failure of the crate.
MISALIGNS_BY_ITSELF = {"mimalloc"}


class Variant:
    def __init__(self, name, program, backend=None, planted=False):
        self.name, self.program, self.backend, self.planted = name, program, backend, planted

    def environment(self):
        extra = {"HEAPGAUGE_BACKEND": self.backend} if self.backend else {}
        return {**os.environ, "GLIBC_TUNABLES": TUNABLES, **extra}

    def run(self, *words, before=()):
        return subprocess.run([*before, self.program, *words], env=self.environment(), text=True,
                              capture_output=True, timeout=600, check=False)


def variants_in(folder):
    any_program = os.path.join(folder, "on_any")
    yield Variant("Rust's System", os.path.join(folder, "on_system"))
    yield Variant("Heapgauge", os.path.join(folder, "on_core"))
    for backend in ("core", "system", "jemalloc", "mimalloc", "tcmalloc"):
        yield Variant(f"AnyBackend {backend}", any_program, backend)
    yield Variant("AnyBackend libbump.so", any_program, os.path.join(folder, "libbump.so"))
    yield Variant("AnyBackend libweak_realloc.so", any_program,
                  os.path.join(folder, "libweak_realloc.so"), planted=True)


def problem(variant, done, says, system):
    """What is wrong with a run; None if nothing is."""
    if not says:
        return f"exit status {done.returncode}: {done.stderr.strip()}"
    checksum, over_aligned, misaligned, unwinding = says.groups()
    if unwinding != "aborts":
        return "a panic that leaves a destructor does not abort"
    if (checksum, over_aligned) != system[:2]:
        return f"checksum {checksum} of {over_aligned} over-aligned requests, System's is {system}"
    if variant.planted and misaligned == "0":
        return "the planted bug was not seen"
    if misaligned != "0" and not variant.planted and variant.backend not in MISALIGNS_BY_ITSELF:
        return f"{misaligned} misaligned blocks"
    return None


def check(folder):
    """Runs all; returns those that are here, and whether each did as expected."""
    system, here, good = None, [], True
    for variant in variants_in(folder):
        done = variant.run()
        if done.returncode == 2 and "is not available" in done.stderr:
            print(f"{variant.name:30} skipped: {done.stderr.strip()}")
            continue
        says = SAYS.match(done.stdout)
        system = system or (says.groups() if says else ("no checksum",) * 2)
        wrong = problem(variant, done, says, system)
        good = good and not wrong
        print(f"{variant.name:30} {wrong or done.stdout.strip()}")
        here.append(variant)
    return here, good


def instructions(variant, rounds):
    done = variant.run(str(rounds), before=("valgrind", "--tool=callgrind",
                                            "--callgrind-out-file=/dev/null"))
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def cpu_seconds(variant):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    variant.run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def print_table(variants, rounds):
    counts = [instructions(variant, rounds) - instructions(variant, 0) for variant in variants]
    seconds = [[] for _ in variants]
    for _ in range(TIMED_RUNS):
        for variant, times in zip(variants, seconds):
            times.append(cpu_seconds(variant))
    medians = [statistics.median(times) for times in seconds]
    print("\n| global allocator | instructions_million | instructions_ratio | cpu_time_ratio |")
    print("|:--|--:|--:|--:|")
    for variant, count, median in zip(variants, counts, medians):
        print(f"| {variant.name} | {count / 1e6:.1f} | {count / counts[0]:.3f} "
              f"| {median / medians[0]:.2f} |")


def main():
    try:
        options, words = getopt.getopt(sys.argv[1:], "h", ["table", "rounds=", "help"])
    except getopt.GetoptError as error:
        print(f"compare.py: {error}; see: compare.py --help", file=sys.stderr)
        return 2
    options = dict(options)
    if "-h" in options or "--help" in options:
        print(__doc__)
        return 0
    if len(words) != 1:
        print("compare.py: name the folder of the programs; see: compare.py --help", file=sys.stderr)
        return 2
    here, good = check(words[0])
    if "--table" in options:
        print_table([variant for variant in here if not variant.planted],
                    int(options.get("--rounds", "4")))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
