"""The program as its user types it: every command's help, errors, bad traces, bad backends, a killed run."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

HEAPGAUGE = os.environ["HEAPGAUGE"]
LIBDIR = pathlib.Path(os.environ["LIBDIR"])
SANITIZED = os.environ.get("SANITIZED", "")
COMMANDS = ["backends", "bench", "record", "show", "stat", "replay", "check", "compare", "report", "gate", "merge",
            "doctor"]

not_sanitized = pytest.mark.skipif(bool(SANITIZED), reason="a sanitizer's malloc serves the process: see preset dev")


def run(*words, timeout=300, **options):
    return subprocess.run([HEAPGAUGE, *map(str, words)], capture_output=True, text=True, timeout=timeout, **options)


@pytest.fixture(scope="session")
def trace(tmp_path_factory):
    """A real program's allocations."""
    path = tmp_path_factory.mktemp("traces") / "program.hgt"
    code = "d = {}\nfor i in range(20000):\n    d[i % 700] = 'x' * (i % 300)\nprint(len(d))"
    done = run("record", "-o", path, "--", "/usr/bin/python3", "-Ssc", code,
               env={**os.environ, "PYTHONMALLOC": "malloc"})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "700\n"  # the program's own output, untouched
    return path


# ---- words ----

@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    by_option, by_word = run(command, "--help"), run("help", command)
    assert by_option.returncode == 0 and by_word.returncode == 0
    assert f"heapgauge {command}" in by_option.stdout
    assert by_option.stdout == by_word.stdout


@pytest.mark.parametrize("words, says", [
    (["bakends"], "did you mean 'backends'"),
    (["qqqqqqqq"], "heapgauge help"),
    (["backends", "jemaloc"], "did you mean 'jemalloc'"),
    (["check", "--backend=sytem"], "did you mean 'system'"),
    (["check", "--backend=./none.so"], "none.so"),
    (["check", "--ops=many"], "--ops=many"),
    (["check", "--json=x"], "--json is for one backend"),
    (["replay"], "name one trace"),
    (["replay", "none.hgt"], "none.hgt"),
    (["cell", "pair/size:64"], "needed"),
    (["record", "-o", "/nonexistent/x.hgt", "--", "true"], "/nonexistent/x.hgt"),
    (["record", "-o", "x.hgt", "--", "/nonexistent/program"], "/nonexistent/program"),
    (["bench", "--benchmark_filter=nothing_has_this_name"], "nothing_has_this_name"),
    *[([command, "--bogus"], "--bogus") for command in ("bench", "record", "show", "stat", "synth", "export", "import", "frag")],
    (["frag", "--backend=nope"], "nope"),
    (["lockstep", "pair/size:64", "core"], "--json=DIR"),
    (["lockstep", "pair/size:64", "--json=.", "--ops=10", "--slices=20", "core"], "no more slices than"),
    (["lockstep", "pair/size:64", "--json=.", "--slices=1", "core"], "--slices=1"),
    (["cell", "pair/size:64", "--backend=core", "--json=-", "--lockstep=0:0"], "--lockstep=0:0"),
    (["cell", "pair/size:64", "--backend=core", "--json=-", "--curve=none"], "--curve=none"),
    (["backends", "jemalloc:dirty_decay=0"], "did you mean 'dirty_decay_ms'"),
    (["backends", "jemalloc:dirty_decay_ms="], "expected NAME=VALUE"),
    (["backends", "core:narenas=1"], "core has no tunables"),
    (["backends", "system:tcache_count=few"], "expected a number"),
    (["backends", "system", "system:tcache_count=0"], "one setting a process"),
    (["backends", "slow-2:core"], "expected a percentage"),
    (["backends", "slow-200%:core"], "expected a percentage"),
])
def test_bad_words_get_one_line_and_status_2(words, says, tmp_path):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stdout + done.stderr
    if words[0] != "backends":  # which says it in its table
        assert len(done.stderr.splitlines()) == 1 and not done.stdout, done.stdout + done.stderr


def test_version():
    assert run("--version").stdout.startswith("heapgauge ")


# ---- backends ----

@not_sanitized
def test_each_backend_is_served_by_its_own_file():
    listed = {b["name"]: b for b in json.loads(run("backends", "--json").stdout)["backends"]}
    assert {"core", "system", "jemalloc", "mimalloc", "tcmalloc", "null"} <= set(listed)
    for name in ("jemalloc", "mimalloc", "tcmalloc"):
        backend = listed[name]
        if not backend["available"]:
            assert f"apt-get install {backend['package']}" in backend["why"]
            continue
        assert name in backend["path"]
        digest = subprocess.run(["sha256sum", backend["path"]], capture_output=True, text=True, check=True).stdout
        assert backend["sha256"] == digest.split()[0]
    assert "libc.so" in listed["system"]["path"]


# ---- traces ----

@not_sanitized
@pytest.mark.parametrize("spec, in_force", [
    ("jemalloc:dirty_decay_ms=0:narenas=3", "dirty_decay_ms=0"),
    ("jemalloc:background_thread=true", "background_thread=true"),
    ("mimalloc:decommit_delay=0:eager_commit=0", "decommit_delay=0"),
    ("tcmalloc:aggressive_decommit=1", "aggressive_decommit=1"),
    ("system:tcache_count=0:arena_max=1", "glibc.malloc.tcache_count=0"),
])
def test_a_tunable_is_in_force(spec, in_force):
    listed = json.loads(run("backends", "--json", spec).stdout)["backends"][0]
    if not listed["available"]:
        pytest.skip(listed["why"])
    assert in_force in listed["tunables"]
    assert in_force not in (json.loads(run("backends", "--json", spec.split(":")[0]).stdout)["backends"][0]
                            ["tunables"])


@not_sanitized
@pytest.mark.parametrize("spec, says", [
    ("jemalloc:dirty_decay_ms=soon", "in force is 10000"),
    ("mimalloc:decommit_delay=soon", "in force is 25"),
])
def test_a_tunable_that_the_library_refuses_is_no_setting(spec, says):
    listed = json.loads(run("backends", "--json", spec).stdout)["backends"][0]
    assert not listed["available"] and (says in listed["why"] or "install" in listed["why"])


@not_sanitized
def test_settings_of_the_c_library_end_with_the_process_that_asked():
    """compare names several settings of system on its command line; each cell gets its own alone."""
    env = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.mxfast=0:glibc.malloc.tcache_count=0",
           "HEAPGAUGE_TUNED": ":glibc.malloc.tcache_count=0"}
    listed = json.loads(run("backends", "--json", "system", env=env).stdout)["backends"][0]
    assert listed["available"]
    assert "mxfast=0" in listed["tunables"] and "tcache_count" not in listed["tunables"]


def test_a_recorded_program_replays_and_checks(trace):
    shown = run("replay", "--backend=core,system", trace)
    assert shown.returncode == 0, shown.stderr
    assert "core" in shown.stdout and "system" in shown.stdout
    verdict = run("check", "--backend=core,system", trace)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    assert verdict.stdout.count("clean") == 2
    digests = {line.split("digest ")[1] for line in verdict.stdout.splitlines() if "digest" in line}
    assert len(digests) == 1  # the same operations on every backend


@pytest.mark.parametrize("command", [["replay"], ["check", "--backend=core"], ["show"], ["stat"]])
def test_bad_traces(command, trace, tmp_path):
    whole = trace.read_bytes()
    bad = {
        "empty": b"",
        "text": b"this is no trace\n" * 100,
        "cut": whole[:len(whole) * 2 // 3],
        "head": whole[:40],
        "flipped": whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 0x10]) + whole[len(whole) // 2 + 1:],
    }
    for name, content in bad.items():
        path = tmp_path / f"{name}.hgt"
        path.write_bytes(content)
        done = run(*command, path)
        assert done.returncode == 2, (name, done.stdout, done.stderr)
        assert str(path) in done.stderr or "byte" in done.stderr, (name, done.stderr)
    done = run(*command, tmp_path)
    assert done.returncode == 2


def test_a_cut_trace_plays_as_far_as_it_goes(trace, tmp_path):
    cut = tmp_path / "cut.hgt"
    cut.write_bytes(trace.read_bytes()[:-30])
    assert run("replay", cut).returncode == 2
    done = run("replay", "--cut-ok", cut)
    assert done.returncode == 0, done.stderr


# ---- bad backends ----

BAD = {"crash": "crashed", "hang": "timeout", "hungry": "out-of-memory", "slot": "broken"}


@not_sanitized
@pytest.mark.parametrize("fault", BAD)
def test_a_bad_backend_is_contained_and_named(fault, trace):
    library = LIBDIR / f"libbad_{fault}.so"
    done = run("check", f"--backend={library},core", "--timeout=%d" % (2 if fault == "hang" else 60), "--memory=300Mi", trace)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert BAD[fault] in lines[0]
    assert any(line.startswith("core") and "clean" in line for line in lines)
    if fault == "slot":
        assert "C4" in lines[0] and "operation" in lines[0] and lines[0].count("slot ") >= 2  # both blocks


@not_sanitized
def test_compare_keeps_what_the_good_ones_measured(trace, tmp_path):
    bad = ",".join(str(LIBDIR / f"libbad_{fault}.so") for fault in BAD)
    done = run("compare", trace, f"--backends=system,core,{bad}", "--rounds=3", "--timeout=10", "--memory=314572800",
               "-o", tmp_path / "out", timeout=600)
    assert done.returncode == 1, done.stdout + done.stderr
    results = json.loads((tmp_path / "out/results.json").read_text())
    status = {cell["backend"]: cell["status"] for cell in results["cells"]}
    assert status["core"] == "ok" and status["system"] == "ok"
    for fault, word in BAD.items():
        assert status[f"bad_{fault}"].startswith(word), status
    table = (tmp_path / "out/table.md").read_text()
    for word in ("crashed", "timeout", "out-of-memory", "broken"):
        assert word in table


@not_sanitized
def test_a_killed_run_goes_on(trace, tmp_path):
    out = tmp_path / "out"
    words = [HEAPGAUGE, "compare", str(trace), "pair/size:64", "--backends=system,core", "--rounds=8", "-o", str(out)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(list(out.glob("rounds/[0-9]*.json"))) < 2 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path.name: path.read_bytes() for path in out.glob("rounds/[0-9]*.json")}
    assert len(kept) >= 2
    done = run("compare", "--resume", "-o", out)
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: a noisy machine
    assert len(list(out.glob("rounds/[0-9]*.json"))) == 8
    for name, content in kept.items():
        assert (out / "rounds" / name).read_bytes() == content


# ---- cells ----

@not_sanitized
@pytest.mark.parametrize("backend", ["core", "system", "null"])
def test_calls_counted_at_the_allocator_equal_those_asked(backend, trace):
    for workload in (trace, "pair/size:64"):
        cell = json.loads(run("cell", workload, f"--backend={backend}", "--ops=20k", "--count", "--json=-").stdout)
        assert cell["status"] == "ok", cell
        assert cell["operations_asked"] == cell["operations_counted"] > 10000


@not_sanitized
def test_curves_agree_with_the_totals(trace):
    """All that was allocated is freed or counted as live; each call is timed once."""
    cell = json.loads(run("cell", trace, "--backend=core", "--curve=footprint", "--json=-").stdout)
    footprint = cell["footprint"]
    assert not footprint["is_cut"] and footprint["operation"] == sorted(footprint["operation"])
    assert 0.9 * cell["live_peak_bytes"] <= max(footprint["live_bytes"]) <= cell["live_peak_bytes"]
    assert footprint["operations"] >= cell["operations_asked"]
    cell = json.loads(run("cell", "pair/size:64", "--backend=core", "--ops=20k", "--curve=latency", "--json=-").stdout)
    rows = {(r["operation"], r["size_max_bytes"]): r["count"] for r in cell["latency"]["rows"]}
    assert rows == {(None, None): 40000, ("malloc", None): 20000, ("free", None): 20000, ("malloc", 64): 20000}


def test_what_the_harness_costs_is_in_the_context():
    told = json.loads(run("bench", "--overheads").stdout)
    assert set(told) == {"loop_ns", "dispatch_ns", "timer_overhead_ns"} and all(float(v) >= 0 for v in told.values())
    done = run("bench", "--backend=core", "--benchmark_filter=pair/.*size:64$", "--benchmark_min_time=1x", "--benchmark_format=json")
    assert set(told) <= set(json.loads(done.stdout)["context"])


def lockstep(folder, workload, *backends, ops=1000, slices=7, timeout=60):
    """The cells of a run in lock-step."""
    folder.mkdir()
    done = run("lockstep", workload, f"--ops={ops}", f"--slices={slices}", f"--timeout={timeout}", "--memory=300Mi",
               f"--json={folder}", *backends)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads((folder / f"{i}.json").read_text()) for i in range(len(backends))]


@not_sanitized
def test_cells_in_lockstep_do_all_that_is_asked(tmp_path):
    for ops, slices in ((1000, 7), (7, 7), (1001, 2)):
        cells = lockstep(tmp_path / f"{ops}-{slices}", "pair/size:64", "core", "system", "null", "count:core", ops=ops, slices=slices)
        for cell in cells:
            assert cell["status"] == "ok" and cell["operations_asked"] == 2 * ops, cell
            assert len(cell["slices_ns"]) == slices and min(cell["slices_ns"]) > 0
            assert abs(cell["seconds"] - sum(cell["slices_ns"]) * 1e-9) < 1e-12


@not_sanitized
def test_traces_in_lockstep_are_played_whole(trace, tmp_path):
    """The same calls as alone, the same memory, and slices whose times add up."""
    backends = ("system", "count:core", "null")
    cells = lockstep(tmp_path / "out", trace, *backends, slices=40)
    for backend, cell in zip(backends, cells):
        alone = json.loads(run("cell", trace, f"--backend={backend}", "--json=-").stdout)
        assert cell["status"] == "ok" and cell["operations_asked"] == alone["operations_asked"] > 10000, cell
        assert cell["operations_counted"] == alone["operations_counted"]
        assert len(cell["slices_ns"]) == 40 and min(cell["slices_ns"]) > 0
        assert abs(cell["seconds"] - sum(cell["slices_ns"]) * 1e-9) < 1e-12
        if backend != "null":
            peaks = [c["rss_peak_bytes"] - c["rss_baseline_bytes"] for c in (cell, alone)]
            assert abs(peaks[0] - peaks[1]) < 256 << 10, (cell, alone)


@not_sanitized
def test_a_trace_shorter_than_its_slices_is_refused(tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("t0 s0 = malloc(8)\nt0 free(s0)\n")
    assert run("show", "--parse", text, "-o", tmp_path / "short.hgt").returncode == 0
    cell, = lockstep(tmp_path / "out", tmp_path / "short.hgt", "core", slices=3)
    assert cell["status"] == "error" and "fewer operations than slices" in cell["detail"]


@not_sanitized
@pytest.mark.parametrize("fault, word", [("crash", "crashed"), ("hang", "timeout")])
def test_one_that_ends_in_lockstep_leaves_the_turns_to_the_others(fault, word, tmp_path):
    cells = lockstep(tmp_path / "out", "pair/size:64", "core", LIBDIR / f"libbad_{fault}.so", "core", ops=100000, slices=100,
                     timeout=4 if fault == "hang" else 60)
    assert [cell["status"] for cell in cells] == ["ok", word, "ok"], cells
    assert len(cells[2]["slices_ns"]) == 100 and min(cells[2]["slices_ns"]) > 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_said():
    done = run("cell", "pair/size:64", "--backend=core", "--ops=1000", "--json=/dev/full")
    assert done.returncode == 2 and "No space left" in done.stderr


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
