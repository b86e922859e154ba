"""Latency, from outside: percentiles and .hgrm of the histogram against ones computed here from the values
themselves, and the command's table and files. Nothing depends on how long anything takes.

    test_latency.py PATH_OF_heapgauge    (latency_units stands beside it)"""
import math
import os
import random
import re
import subprocess
import sys
import tempfile

PERCENTS = (0, 50, 90, 99, 99.9, 99.99, 100)


def cell_high(value):
    """The greatest value that three significant digits don't tell from this one."""
    shift = max(0, value.bit_length() - 11)
    return ((value >> shift) + 1 << shift) - 1


def percentile(ordered, percent):
    rank = max(1, int(percent / 100 * len(ordered) + 0.5))
    return cell_high(ordered[rank - 1])


def probe(program, values):
    done = subprocess.run([program, "probe"], input="\n".join(map(str, values)), capture_output=True, text=True,
                          check=True)
    return done.stdout.splitlines()


def check_percentiles(program, values):
    lines = probe(program, values)
    ordered = sorted(values)
    for line, percent in zip(lines, PERCENTS):
        want = f"{percent:g} {percentile(ordered, percent)}"
        assert line == want, f"{line}, expected {want}"
    check_hgrm(lines[len(PERCENTS):], ordered)


def check_hgrm(lines, ordered):
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"] and lines[1] == ""
    rows = [line.split() for line in lines[2:-3]]
    assert rows and float(rows[-1][1]) == 1 and int(rows[-1][2]) == len(ordered)
    assert len(rows[-1]) == 3 and all(len(row) == 4 for row in rows[:-1])
    last = -1.0
    for row in rows:
        value, part, count = float(row[0]), float(row[1]), int(row[2])
        below = sum(1 for v in ordered if v <= value)
        assert below == count, f"{count} up to {value}, expected {below}"
        assert count / len(ordered) >= part - 1e-9 and part > last
        last = part
    steps = [float(row[1]) for row in rows[:-1]]
    assert steps[0] == 0 and (len(steps) < 2 or abs(steps[1] - 0.1) < 1e-12)  # five lines to 50 %
    mean = float(re.search(r"#\[Mean +=([ \d.]+)", lines[-3]).group(1))
    true_mean = sum(ordered) / len(ordered)
    assert abs(mean - true_mean) <= 0.001 * true_mean + 0.001
    assert f"Total count    = {len(ordered):12d}]" in lines[-2]
    assert re.fullmatch(r"#\[Buckets = +\d+, SubBuckets     = +2048\]", lines[-1])


def check_command(program):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([program, "bench", "--latency", "--backend=core,null", "--benchmark_min_time=2000x",
                               "--benchmark_filter=^(pair/.*size:64|aligned/.*align:64/size:24)$",
                               f"--latency_out={folder}"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        files = sorted(os.listdir(folder))
    assert "pair_backend:core_size:64.malloc.64.hgrm" in files and "pair_backend:null_size:64.free.any.hgrm" in files
    assert any(".dealloc." in name for name in files), files
    # Every call of the loop is there, once: 2000 iterations of a malloc and a free.
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["malloc", "64", "2000"] in [row[:3] for row in rows], done.stdout
    row = next(row for row in rows if row[:3] == ["malloc", "64", "2000"])
    assert row[7] == "-", f"p99.99 of 2000 operations: {row}"  # kind, size, count, p50 .. p99.99, max
    assert row[6] != "-"
    assert re.search(r"clock: .* a measurement of nothing takes [\d.]+ ns", done.stdout)


def check_open_loop(program):
    done = subprocess.run([program, "bench", "--latency", "--backend=core", "--open_loop=1000"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.startswith("  ")}
    assert rows["service"][2] == rows["response"][2] == "2000", done.stdout


def check_is_awake(program):
    """The comparison fails where it should."""
    lines = probe(program, [1, 2, 3])
    try:
        check_hgrm(lines[len(PERCENTS):], [1, 2, 4])
    except AssertionError:
        return
    raise AssertionError("a wrong distribution passed")


def main(program):
    units = os.path.join(os.path.dirname(program), "latency_units")
    rng = random.Random(7)
    sets = ([5], [0, 0, 1], list(range(1, 10001)), [int(rng.lognormvariate(6, 3)) for _ in range(30000)],
            [rng.randrange(1 << 35) for _ in range(1000)], [int(math.exp(i / 50)) for i in range(1000)])
    for values in sets:
        check_percentiles(units, values)
    check_is_awake(units)
    check_command(program)
    check_open_loop(program)
    print(f"{len(sets)} distributions, the command")


if __name__ == "__main__":
    main(sys.argv[1])
