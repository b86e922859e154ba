#!/usr/bin/python3
"""Prints what the loops cost, ours and the real library's, from alternating processes.

usage: overhead.py BIN_FOLDER [ROUNDS]

BIN_FOLDER holds overhead_ours and, where libbenchmark-dev is installed, overhead_real.
Each round runs every loop of both once, in a fresh process and a shuffled order; printed are
median, least and greatest in ns an iteration (CPU time), and the time to start.
"""
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

LOOPS = {
    "overhead_ours": ["empty", "empty_iterate", "clobber", "clobber_iterate", "pause_resume"],
    "overhead_real": ["clobber", "clobber_iterate", "pause_resume"],
}


def measure_ns(program, loop):
    min_time = "0.1"
    done = subprocess.run(
        [program, f"--benchmark_filter=^{loop}$", f"--benchmark_min_time={min_time}",
         "--benchmark_format=json"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(done.stdout)["benchmarks"][0]["cpu_time"]


def start_up_ms(program):
    start = time.perf_counter()
    subprocess.run([program, "--benchmark_list_tests"], stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start) * 1e3


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = Path(sys.argv[1]).resolve()
    rounds = int(sys.argv[2]) if len(sys.argv) == 3 else 11
    programs = {name: folder / name for name in LOOPS if (folder / name).exists()}
    if "overhead_real" not in programs:
        print("overhead_real is not there: install libbenchmark-dev and build again to compare")
    cells = [(name, loop) for name in programs for loop in LOOPS[name]]
    samples = {cell: [] for cell in cells}
    starts = {name: [] for name in programs}
    for _ in range(rounds):
        random.shuffle(cells)
        for name, loop in cells:
            samples[name, loop].append(measure_ns(programs[name], loop))
        for name, program in programs.items():
            starts[name].append(start_up_ms(program))
    print(f"{'program':14} {'loop':16} {'median ns':>10} {'least':>8} {'greatest':>9}   {rounds} rounds")
    for (name, loop), values in sorted(samples.items()):
        print(f"{name:14} {loop:16} {statistics.median(values):10.3f} {min(values):8.3f} {max(values):9.3f}")
    for name, values in sorted(starts.items()):
        print(f"{name:14} start-up (fork, exec, --benchmark_list_tests): median {statistics.median(values):.2f} ms")


if __name__ == "__main__":
    main()
