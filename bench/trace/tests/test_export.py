"""Export: the C program makes the very calls of the trace, seen by our own recorder; pieces fit."""

import json
import re
import struct
import subprocess

import pytest

from conftest import heapgauge, operations

EVERY_KIND = """\
# program: all
t0 s0 = malloc(100)
t0 s1 = calloc(7, 5)
t1 thread_start(t0)
t1 s0 = realloc(s0, 300)
t1 s2 = reallocarray(s2, 3, 40)
t1 NULL = realloc(s0, 18446744073709551000)
t0 s3 = aligned_alloc(64, 640)
t1 s4 = posix_memalign(256, 30)
t0 free(s4)
t0 s4 = memalign(32, 31)
t1 thread_end()
t0 s5 = valloc(3)
t0 s6 = pvalloc(5)
t1 thread_start(t0)
t1 free(s3)
t0 NULL = malloc(18446744073709551615)
t0 free(NULL)
t0 malloc_usable_size(s0)
t0 clock(5)
t0 verify(all)
t1 s3 = calloc(2, 0)
t1 free(s3)
"""


def compile_and_run(source, tmp_path):
    program = tmp_path / "repro"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-pthread",
                    str(source), "-o", str(program)], check=True)
    said = subprocess.run([str(program)], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr
    return program, [int(n) for n in re.findall(r"\d+", said.stdout)]


def calls(trace):
    """What a C program can be seen to call: without our own steps and empty frees."""
    return [(result, function, arguments) for _, result, function, arguments in operations(trace)
            if function not in ("clock", "thread_start", "thread_end", "verify")]


def stat(trace):
    return json.loads(heapgauge("stat", "--json", trace).stdout)


def test_c_program_makes_the_calls_of_the_trace(recorded, tmp_path):
    heapgauge("export", recorded, "--to=c", "-o", tmp_path / "r.c")
    program, (steps, peak, end) = compile_and_run(tmp_path / "r.c", tmp_path)
    facts = stat(recorded)
    assert (steps, peak, end) == (facts["operations"], facts["live_bytes_peak"], facts["live_bytes_end"])
    heapgauge("record", "-o", tmp_path / "again.hgt", "--", program)
    assert calls(tmp_path / "again.hgt") == calls(recorded)


def test_every_kind_and_threads_in_c(tmp_path):
    (tmp_path / "t.txt").write_text(EVERY_KIND)
    heapgauge("show", "--parse", tmp_path / "t.txt", "-o", tmp_path / "t.hgt")
    heapgauge("export", tmp_path / "t.hgt", "--to=c", "-o", tmp_path / "r.c")
    program, (steps, peak, _) = compile_and_run(tmp_path / "r.c", tmp_path)
    assert steps == len(EVERY_KIND.splitlines()) - 1
    assert peak == stat(tmp_path / "t.hgt")["live_bytes_peak"]
    heapgauge("record", "-o", tmp_path / "again.hgt", "--", program)
    seen = [function for _, function, _ in calls(tmp_path / "again.hgt")]
    for function in {function for _, function, _ in calls(tmp_path / "t.hgt")}:
        assert function in seen, function


@pytest.mark.parametrize("first, count", [(0, 100), (1000, 500), (4000, 100), (4099, 1)])
def test_a_piece_finds_what_lived_before(recorded, tmp_path, first, count):
    piece = [f"--from={first}", f"--count={count}"]
    heapgauge("export", recorded, "--to=trace", "-o", tmp_path / "p.hgt", *piece)
    heapgauge("export", recorded, "--to=text", "-o", tmp_path / "p.txt", *piece)
    shown = heapgauge("show", tmp_path / "p.hgt").stdout.splitlines()
    text = (tmp_path / "p.txt").read_text().splitlines()
    assert [line for line in shown if line[0] != "#"] == text
    whole = [line for line in heapgauge("show", recorded).stdout.splitlines() if line[0] != "#"]
    assert text[-count:] == whole[first:first + count]
    made = set()
    for _, result, function, arguments in operations(tmp_path / "p.hgt"):
        if function == "free" and arguments[0] != "NULL":
            made.remove(arguments[0])
        elif result and result != "NULL":
            made.add(result)
    heapgauge("export", recorded, "--to=c", "-o", tmp_path / "p.c", *piece)
    _, (steps, _, _) = compile_and_run(tmp_path / "p.c", tmp_path)
    assert count <= steps <= len(text)
    live = stat(tmp_path / "p.hgt")["live_bytes_end"]
    if first + count == len(whole):
        assert live == stat(recorded)["live_bytes_end"]


def test_whole_trace_stays_as_it_is(recorded, tmp_path):
    heapgauge("export", recorded, "--to=trace", "-o", tmp_path / "t.hgt")
    assert list(operations(tmp_path / "t.hgt")) == list(operations(recorded))


def test_a_flat_stream_has_every_operation(recorded, tmp_path):
    heapgauge("export", recorded, "--to=flat", "-o", tmp_path / "t.flat")
    flat = (tmp_path / "t.flat").read_bytes()
    magic, count = struct.unpack_from("<8sQ", flat)
    lines = [line for line in heapgauge("show", recorded).stdout.splitlines() if line[0] != "#"]
    assert magic == b"HGFLAT1\n" and count == len(lines) and len(flat) == 16 + 24 * count
    for line, (kind, _, thread, slot, size, _) in zip(lines, struct.iter_unpack("<BBHIQQ", flat[16:])):
        assert line.startswith(f"t{thread} ")
        if kind == 0:  # malloc
            assert line == f"t{thread} s{slot} = malloc({size})" or line == f"t{thread} NULL = malloc({size})"


@pytest.mark.parametrize("words, says", [
    (["--to=c"], "name trace, kind and file"),
    (["--to=pdf", "-o", "x"], "--to=pdf: give c, text, trace, seed or flat"),
    (["--to=c", "-o", "/nonexistent/x"], "cannot write"),
    (["--to=flat", "-o", "/dev/full"], "cannot write"),
    (["--to=c", "--from=x", "-o", "x"], "--from=x: give a whole number"),
])
def test_wrong_usage_is_answered(recorded, words, says):
    assert says in heapgauge("export", recorded, *words, status=2).stderr


def test_seeds_are_written_for_the_fuzz_targets(recorded, tmp_path):
    heapgauge("export", recorded, "--to=seed", "-o", tmp_path)
    for target in ("libc", "threads"):
        seeds = sorted((tmp_path / target).iterdir())
        assert len(seeds) == 6 and all(seed.stat().st_size > 200 for seed in seeds)
    assert "say: heapgauge export" in heapgauge("export", recorded, "--to=seed", status=2).stderr
    assert "cannot write" in heapgauge("export", recorded, "--to=seed", "-o", "/proc/none", status=2).stderr


def test_a_trace_is_a_benchmark(recorded):
    words = ("--backend=system,null", "--benchmark_format=json", "--benchmark_min_time=2x")
    rows = json.loads(heapgauge("bench", recorded, *words).stdout)["benchmarks"]
    assert [row["name"].split("/")[:3] for row in rows] == [
        ["trace", recorded.stem, f"backend:{backend}"] for backend in ("system", "null")]
    assert all(row["iterations"] == 2 and row["items_per_second"] > 0 for row in rows)
    assert "cannot open" in heapgauge("bench", "/nonexistent.hgt", status=2).stderr


def test_a_piece_without_blocks_compiles(tmp_path):
    (tmp_path / "t.txt").write_text("# program: waits\nt0 clock(5)\n")
    heapgauge("show", "--parse", tmp_path / "t.txt", "-o", tmp_path / "t.hgt")
    heapgauge("export", tmp_path / "t.hgt", "--to=c", "-o", tmp_path / "t.c")
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-pthread",
                    tmp_path / "t.c", "-o", tmp_path / "t"], check=True)
    subprocess.run([tmp_path / "t"], check=True, timeout=10)
