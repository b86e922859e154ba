"""compare on a fake heapgauge: faults contained, nothing finished is lost, the same seed the same order."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from heapgauge import compare as compare_module
from heapgauge import hyperfine, machine, store
from heapgauge.errors import Trouble

needs_hyperfine = pytest.mark.skipif(not shutil.which("hyperfine"),
                                     reason="needs hyperfine: apt-get install hyperfine")
pytestmark = needs_hyperfine


def test_a_run_ends_well_and_leaves_everything(measured):
    names = {p.name for p in (measured.folder / "out").iterdir()}
    assert {"plan.json", "context.json", "backends.json", "verdicts.json", "rounds", "SHA256SUMS", "table.md",
            "table.csv", "table.tex", "results.json", "google-benchmark.json"} <= names
    assert subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=measured.folder / "out").returncode == 0
    assert len(list((measured.folder / "out/rounds").iterdir())) == 12


def test_ratios_come_out_as_planted(measured):
    cell = measured.cell("alpha", "mimalloc")  # 10 ns against system's 20
    assert cell["time_ratio"]["value"] == pytest.approx(0.5, abs=0.02)
    assert cell["time_ratio"]["word"] == "faster"
    assert cell["share"] == pytest.approx(0.8, abs=0.02)  # null takes 2 of the 10 ns
    assert cell["footprint"]["median"] == pytest.approx(1.5, abs=0.01)
    assert measured.cell("beta", "core")["time_ratio"]["word"] == "slower"


def test_every_round_holds_every_cell_once_in_a_latin_square(measured):
    plan = measured.read("plan.json")
    entries = [e["name"] for e in plan["entries"]]
    assert "system#aa" in entries and "null" in entries
    rounds = [measured.read(f"rounds/{n:03d}.json") for n in range(1, 13)]
    for stored in rounds:
        positions = [p for r in stored["results"] for p in r["turns"]["position"]]
        assert sorted(positions) == list(range(2 * len(entries) * compare_module.TRACE_TURNS_QUICK))
    for workload in ("alpha", "beta"):
        rows = [[r["entry"] for r in sorted(cells, key=lambda r: r["turns"]["position"][turn])] for stored in rounds
                for turn in range(compare_module.TRACE_TURNS_QUICK) for cells in [[r for r in stored["results"] if r["workload"] == workload]]]
        assert all(sorted(column) == sorted(entries) for column in zip(*rows[:len(entries)]))


def test_a_workload_has_one_operation_count_for_all(measured):
    for workload in measured.read("plan.json")["workloads"]:
        counts = {r["cell"]["operations_counted"] for n in range(1, 13)
                  for r in measured.read(f"rounds/{n:03d}.json")["results"] if r["workload"] == workload["name"]}
        assert len(counts) == 1


def test_the_same_seed_gives_the_same_order(bench, measured):
    bench.compare("--rounds=2")
    for number in (1, 2):
        orders = [[(r["workload"], r["entry"]) for r in b.read(f"rounds/{number:03d}.json")["results"]]
                  for b in (bench, measured)]
        assert orders[0] == orders[1]


def test_a_round_is_hyperfines_own_record(measured):
    result = measured.read("rounds/001.json")["results"][0]
    assert {"command", "mean", "median", "user", "system", "min", "max", "times", "exit_codes"} <= set(result)
    assert result["command"] == f"{result['workload']}/backend:{result['entry']}"
    assert " cell " in result["command_line"]


def test_the_oracle_keeps_a_broken_backend_out(bench):
    bench.config = {"fault": {"alpha on core": "broken"}}
    status, out, err = bench.compare("--rounds=6")
    assert status == 1
    cell = bench.cell("alpha", "core")
    assert cell["status"] == "broken" and cell["verdict_item"] == "C4" and cell["time"] is None
    assert "operation 123" in cell["detail"] and not cell["samples"]
    assert "core on alpha: broken: C4" in out
    assert bench.cell("beta", "core")["status"] == "ok"  # other results are kept


def test_a_seeded_stream_is_told_and_bars_nothing(bench):
    bench.config = {"fault": {"seeded on core": "broken"}}
    status, out, err = bench.run("compare", "pair/size:64", "pair/size:1024", "--backends=system,core", "--quick",
                                 "--rounds=1", "-o", "out")
    assert status in (0, 1), err
    assert bench.cell("pair/size:64", "core")["status"] == "ok"
    assert "- clean: system" in out and "- core: broken C4" in out
    checks = (bench.folder / "cells.log.checks").read_text().splitlines()
    assert sorted(checks) == ["seeded core", "seeded system"]  # once each


@pytest.mark.parametrize("fault, status", [
    ("crash", "crashed"), ("unsupported", "unsupported"), ("out-of-memory", "out-of-memory"), ("garbage", "error"),
    ("nothing", "error"), ("nan", "error"), ("dies", "error"), ("miscount", "invalid"), ("short", "too-short"),
    ("check-crash", "crashed"), ("check-garbage", "error"),
])
def test_a_failing_cell_has_a_name_and_no_number(bench, fault, status):
    bench.config = {"fault": {"alpha on mimalloc": fault}}
    code, out, _ = bench.compare("--rounds=6")
    cell = bench.cell("alpha", "mimalloc")
    assert cell["status"] == status and cell["time"] is None and cell["time_ratio"] is None
    assert bench.cell("alpha", "core")["status"] == "ok"
    assert bench.cell("beta", "mimalloc")["status"] == "ok"
    assert code == (0 if status in ("unsupported", "too-short") else 1)
    mean = next(m for m in bench.read("results.json")["means"]
                if (m["quantity"], m["backend"]) == ("time", "mimalloc"))
    assert mean["workloads"] == ["beta"] and mean["excluded"] == [{"workload": "alpha", "why": status}]
    assert f"mimalloc on alpha: {status}" in out


def test_a_cell_that_fails_now_and_then_gets_no_number(bench):
    bench.config = {"fault": {"alpha on mimalloc": "crash:0.5"}}
    bench.compare("--rounds=10")
    cell = bench.cell("alpha", "mimalloc")
    assert cell["status"] == "crashed" and " rounds" in cell["detail"]


def test_a_cell_that_failed_twice_is_not_run_again(bench):
    bench.config = {"fault": {"alpha on mimalloc": "crash"}}
    bench.compare("--rounds=6")
    tried = [line for line in bench.log.read_text().splitlines() if line.startswith("alpha.hgt mimalloc")]
    assert len(tried) == 2  # once counted, once timed
    cell = bench.cell("alpha", "mimalloc")
    assert cell["status"] == "crashed" and "1 of 1 rounds, then not run again" in cell["detail"]
    assert bench.cell("beta", "mimalloc")["status"] == "ok"
    status, _, _ = bench.run("compare", "--resume", "--rounds=7", "-o", "out")
    assert status == 1 and len(bench.log.read_text().splitlines()) and "alpha.hgt mimalloc" not in "".join(
        bench.log.read_text().splitlines()[-9:])


def test_the_oracle_works_within_the_limits_of_a_cell(bench):
    bench.config = {"fault": {"seeded on core": "check-hang"}}
    started = time.monotonic()
    bench.run("compare", "alpha.hgt", "--backends=system,core", "--quick", "--rounds=1", "--timeout=1", "-o", "out")
    assert time.monotonic() - started < 30
    assert {v["backend"]: v["verdict"] for v in bench.read("results.json")["seeded_verdicts"]}["core"] == "timeout"
    arguments = (bench.folder / "cells.log.arguments").read_text()
    assert "--timeout=1 --memory=" in arguments


def test_calls_are_counted_once_before_the_rounds(bench):
    bench.compare("--rounds=2")
    counts = bench.read("counts.json")
    assert {(c["workload"], c["backend"]) for c in counts} == {(w, b) for w in ("alpha", "beta")
                                                              for b in ("system", "core", "mimalloc")}
    assert all(c["status"] == "ok" and c["operations_asked"] == c["operations_counted"] for c in counts)


@pytest.mark.parametrize("text, size", [("1", 1), ("300Mi", 300 << 20), ("1Gi", 1 << 30), ("2G", 2 * 10**9),
                                        ("5k", 5000), ("5K", 5000), ("7Ki", 7168)])
def test_sizes_are_read_as_the_c_commands_read_them(text, size):
    assert compare_module.size(text) == size


@pytest.mark.parametrize("text", ["", "Mi", "-1", "1.5G", "3x", "0"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        compare_module.size(text)


def test_a_hanging_cell_is_ended(bench, monkeypatch):
    bench.config = {"fault": {"alpha on mimalloc": "hang"}}
    started = time.monotonic()
    status, _, _ = bench.run("compare", "alpha.hgt", "--backends=system,mimalloc", "--quick", "--rounds=1",
                             "--seed=1", "--timeout=0.5", "-o", "out")
    assert time.monotonic() - started < 60
    assert status == 1 and bench.cell("alpha", "mimalloc")["status"] == "timeout"


def test_a_broken_baseline_leaves_no_ratios(bench):
    bench.config = {"fault": {"alpha on system": "crash"}}
    bench.compare("--rounds=6")
    cell = bench.cell("alpha", "core")
    assert cell["time"] and cell["time_ratio"] is None


def test_kill_in_mid_run_loses_no_finished_round(bench):
    bench.config = {"sleep": 0.02}
    child = bench.start("compare", "alpha.hgt", "--backends=system,core", "--quick", "--rounds=8", "--seed=3", "-o", "out")
    rounds = bench.folder / "out/rounds"
    deadline = time.monotonic() + 60
    while len(list(rounds.glob("[0-9]*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    kept = {p.name: p.read_bytes() for p in rounds.glob("[0-9]*.json")}
    assert 3 <= len(kept) < 8
    time.sleep(0.5)  # what was running at the kill ends by itself
    status, _, err = bench.run("compare", "--resume", "-o", "out")
    assert status in (0, 1), err
    assert all((rounds / name).read_bytes() == data for name, data in kept.items())
    assert len(list(rounds.glob("[0-9]*.json"))) == 8
    assert not list(bench.folder.glob("out/**/*.tmp"))
    # The order goes on as if nothing had happened.
    bench.config = {}
    bench.run("compare", "alpha.hgt", "--backends=system,core", "--quick", "--rounds=8", "--seed=3", "-o", "whole")
    for name in sorted(kept) + ["008.json"]:
        orders = [[r["entry"] for r in bench.read(f"rounds/{name}", o)["results"]] for o in ("out", "whole")]
        assert orders[0] == orders[1]


def test_a_kill_at_any_write_leaves_a_folder_that_resumes(bench):
    """Cuts the run short at the N-th rename, for every N that happens (every third without HG_LONG)."""
    script = ("import os, sys\n"
              "left = [int(sys.argv.pop(1))]\n"
              "real = os.rename\n"
              "def rename(a, b):\n"
              "    left[0] -= 1\n"
              "    if left[0] < 0: os._exit(9)\n"
              "    real(a, b)\n"
              "os.rename = rename\n"
              "from heapgauge.__main__ import main\n"
              "sys.exit(main(sys.argv[1:]))\n")
    words = ["compare", "alpha.hgt", "--backends=system", "--quick", "--rounds=2", "--seed=1", "-o", "out"]
    for survive in range(0, 60, 1 if os.environ.get("HG_LONG") else 3):
        shutil.rmtree(bench.folder / "out", ignore_errors=True)
        done = subprocess.run(["/usr/bin/python3", "-c", script, str(survive), *words], cwd=bench.folder,
                              env=bench.environment(), capture_output=True)
        if done.returncode != 9:
            assert survive > 20
            return
        again = words if not (bench.folder / "out/plan.json").exists() else ["compare", "-o", "out"]
        status, _, err = bench.run(*again, "--resume")
        assert status in (0, 1), (survive, err)
        assert len(list((bench.folder / "out/rounds").glob("[0-9]*.json"))) == 2
    pytest.fail("never ended")


def test_rounds_can_be_added_later(bench):
    bench.compare("--rounds=2")
    first = (bench.folder / "out/rounds/001.json").read_bytes()
    status, _, err = bench.run("compare", "--resume", "--rounds=4", "-o", "out")
    assert status in (0, 1), err
    assert (bench.folder / "out/rounds/001.json").read_bytes() == first
    assert len(bench.read("context.json")["sessions"]) == 2
    assert bench.read("results.json")["rounds"] == 4


def test_a_full_run_is_not_overwritten(bench):
    bench.compare("--rounds=1")
    status, _, err = bench.compare("--rounds=1")
    assert status == 2 and "--resume" in err and err.count("\n") == 1


@pytest.mark.parametrize("words, says", [
    (["--resume", "--seed=99"], "--seed differs"),
    (["--resume", "--baseline=core"], "--baseline differs"),
    (["gamma.hgt", "--resume"], "workloads differs"),
])
def test_resume_does_not_mix_two_experiments(bench, words, says):
    bench.compare("--rounds=1")
    status, _, err = bench.run("compare", *words, "-o", "out")
    assert status == 2 and says in err


def test_resume_notices_another_trace(bench):
    bench.compare("--rounds=1")
    (bench.folder / "alpha.hgt").write_bytes(b"another")
    status, _, err = bench.run("compare", "--resume", "-o", "out")
    assert status == 2 and "alpha.hgt: not the trace" in err


def test_a_folder_with_its_traces_may_be_renamed(bench):
    (bench.folder / "old/traces").mkdir(parents=True)
    (bench.folder / "old/traces/gamma.hgt").write_bytes(b"gamma")
    bench.run("compare", "old/traces/gamma.hgt", "--backends=system", "--quick", "--rounds=1", "-o", "old")
    (bench.folder / "old").rename(bench.folder / "new")
    status, _, err = bench.run("compare", "--resume", "--rounds=2", "-o", "new")
    assert status in (0, 1), err
    assert bench.read("results.json", "new")["rounds"] == 2


def test_two_writers_do_not_meet(bench):
    bench.compare("--rounds=1")
    folder = store.Folder(bench.folder / "out")
    folder.lock()
    status, _, err = bench.run("compare", "--resume", "--rounds=2", "-o", "out")
    assert status == 2 and "another heapgauge compare" in err


@pytest.mark.parametrize("words, says", [
    ([], "no workload"),
    (["absent.hgt"], "absent.hgt"),
    (["pair/size:63"], "pair/size:63"),
    (["alpha.hgt", "--backends=jemaloc"], "unknown backend"),
    (["alpha.hgt", "--backends=./none.so"], "no such library"),
    (["--resume", "-o", "nowhere"], "no run to resume"),
])
def test_usage_errors_are_one_line(bench, words, says):
    status, out, err = bench.run("compare", *words)
    assert status == 2 and says in err and err.count("\n") == 1 and not out
    assert not (bench.folder / "results").exists()


@pytest.mark.parametrize("name", ["compare", "report", "gate", "merge", "doctor"])
def test_help(bench, name):
    status, out, err = bench.run(name, "--help")
    assert status == 0 and out.startswith(f"usage: heapgauge {name}") and "Exit status" in out and not err


def test_a_benchmarks_count_is_calibrated_and_a_trace_is_played_whole(bench):
    bench.run("compare", "alpha.hgt", "pair/size:64", "--backends=system,core", "--quick", "--rounds=1", "-o", "out")
    planned = {w["name"]: w for w in bench.read("plan.json")["workloads"]}
    assert planned["alpha"]["iterations"] == 1 and planned["alpha"]["turns"] == compare_module.TRACE_TURNS_QUICK
    pair = planned["pair/size:64"]
    assert pair["slices"] >= 25 and pair["slices"] * pair["turns"] <= 100
    # 100 slices of a quarter of a millisecond on the fastest, which takes 40 ns for an iteration of two operations.
    assert pair["iterations"] * pair["turns"] == pytest.approx(100 * 0.25e6 / 40, rel=0.1)


@pytest.mark.parametrize("count, slices, most, expected", [
    (10_000, 200, 10, (8, 1250, 25)), (10_000, 200, 3, (3, 3334, 66)), (9, 9, 10, (1, 9, 9)), (10_000, 49, 10, (1, 10_000, 49))])
def test_slices_are_split_into_turns(count, slices, most, expected):
    assert compare_module.split(count, slices, most) == expected


def test_an_unavailable_backend_is_listed_with_its_package(bench):
    bench.config = {"missing": ["mimalloc"]}
    status, out, err = bench.compare("--rounds=1")
    assert "left out mimalloc: not installed: apt-get install libmimalloc" in err
    assert "apt-get install libmimalloc" in out
    assert all(c["backend"] != "mimalloc" for c in bench.read("results.json")["cells"])


def test_hyperfine_missing_is_said_with_its_package(bench, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Trouble, match="apt-get install hyperfine"):
        hyperfine.require()


def test_hyperfine_failing_keeps_finished_rounds(bench):
    bench.compare("--rounds=1")
    broken = bench.folder / "bin"
    broken.mkdir()
    (broken / "hyperfine").write_text("#!/bin/sh\necho it went wrong >&2\nexit 3\n")
    (broken / "hyperfine").chmod(0o755)
    environment = {**bench.environment(), "PATH": f"{broken}:{os.environ['PATH']}"}
    done = subprocess.run(["/usr/bin/python3", "-m", "heapgauge", "compare", "--resume", "--rounds=2", "-o", "out"],
                          cwd=bench.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "it went wrong" in done.stderr and "--resume" in done.stderr
    assert bench.read("rounds/001.json")["round"] == 1
    assert not list(bench.folder.glob("out/**/*.tmp"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk: run as root")
@pytest.mark.parametrize("words, said", [
    (("compare", "alpha.hgt", "--frobnicate"), "unrecognized arguments: --frobnicate"),
    (("compare", "alpha.hgt", "--rounds=0"), "expected a whole number, 1 or more"),
    (("compare", "alpha.hgt", "--rounds=²"), "expected a whole number, 1 or more"),
    (("compare", "alpha.hgt", "--timeout=-1"), "expected seconds, more than 0"),
    (("compare", "alpha.hgt", "--timeout=nan"), "expected seconds, more than 0"),
    (("compare", "alpha.hgt", "--budget=0"), "expected seconds, more than 0"),
    (("compare", "alpha.hgt", "--fuzz=inf"), "expected seconds, more than 0"),
    (("compare", "alpha.hgt", "--memory=lots"), "expected bytes"),
    (("compare", "alpha.hgt", "--engine=local", "-o", "out", "--frag"), "--frag is measured on one node: run it without --engine"),
    (("scaling", "--rounds=0"), "expected a whole number, 1 or more"),
    (("scaling", "--backend=nobody"), "heapgauge bench --scaling: nobody: unknown backend"),
    (("report",), "required: DIR"),
    (("report", "out", "--only=nonsense"), "invalid choice: 'nonsense'"),
    (("gate",), "required: --baseline, --candidate"),
    (("gate", "--baseline=a", "--candidate=b", "--max-regression=-5%"), "between 0% and 1000%"),
    (("doctor", "--frob"), "unrecognized arguments: --frob"),
])
def test_wrong_words_are_one_line(bench, words, said):
    status, out, err = bench.run(*words)
    assert status == 2 and said in err and err.count("\n") == 1 and out == "", err
    assert sorted(p.name for p in bench.folder.iterdir() if p.is_dir()) == []  # nothing was begun


def test_a_trace_that_was_cut_ends_it_before_anything_is_measured(bench):
    bench.config = {"fault": {"alpha stat": "cut"}}
    status, _, err = bench.compare()
    assert status == 2 and err == "heapgauge compare: alpha.hgt: block 0 at byte 8: cut\n" and not (bench.folder / "out").exists()


def test_a_full_disk_is_one_line_and_keeps_finished_rounds(bench):
    disk = bench.folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk: run as root outside a container")
    try:
        (bench.folder / "disk/out").mkdir()
        status, _, err = bench.compare("--rounds=1", output="disk/out")
        assert status in (0, 1), err
        (disk / "filler").write_bytes(b"x" * (4 << 20))
        status, _, err = bench.run("compare", "--resume", "--rounds=3", "-o", "disk/out")
        assert status == 2 and "free some space" in err.splitlines()[-1] and "Traceback" not in err
        (disk / "filler").unlink()
        status, _, err = bench.run("compare", "--resume", "-o", "disk/out")
        assert status in (0, 1), err
        assert bench.read("results.json", "disk/out")["rounds"] == 3
    finally:
        subprocess.run(["umount", disk], check=True)


def test_no_space_in_mid_write_is_told_as_such(tmp_path, monkeypatch):
    folder = store.Folder(tmp_path / "out")
    folder.create()
    folder.write_json("plan.json", {"a": 1})
    def full(_):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Trouble, match="disk is full"):
        folder.write_json("plan.json", {"a": 2})
    monkeypatch.undo()
    assert store.Folder(tmp_path / "out").read_json("plan.json") == {"a": 1}
    assert not list(tmp_path.glob("**/*.tmp"))


def test_an_unwritable_folder_is_told_as_such(bench):
    (bench.folder / "file").write_text("")
    status, _, err = bench.compare("--rounds=1", output="file/out")
    assert status == 2 and "choose another" in err and err.count("\n") == 1


def test_budget_stops_adding_rounds(bench):
    bench.config = {"noise": 0.0001}
    status, _, err = bench.run("compare", "alpha.hgt", "--backends=system,core", "--quick", "--budget=60", "-o", "out")
    assert status in (0, 1), err
    assert bench.read("results.json")["rounds"] == 6  # the fewest that give an interval: it is narrow enough


def test_budget_adds_rounds_while_intervals_are_wide_and_time_is_left(monkeypatch):
    plan = {"budget_s": 4.0}
    monkeypatch.setattr(compare_module.analysis, "widest_interval", lambda plan, rounds: 0.5)
    enough = compare_module.enough
    assert not enough([0] * 5, plan, 100.0, 0)  # below 6 there is no interval to judge by
    assert not enough([0] * 6, plan, 3.0, 0)
    assert enough([0] * 6, plan, 3.9, 0)  # a seventh round would end at 4.55 s
    monkeypatch.setattr(compare_module.analysis, "widest_interval", lambda plan, rounds: 0.01)
    assert enough([0] * 6, plan, 1.0, 0)


@pytest.mark.parametrize("speeds, aim, iterations", [
    ([10, 20], 0.1, 10_000_000), ([10, 1_000_000], 0.1, 800), ([9, 9], 0.1, 12_000_000), ([1e10], 0.1, 1),
])
def test_iterations_for_by_hand(speeds, aim, iterations):
    assert compare_module.iterations_for(speeds, aim) == iterations


def test_context_has_provenance(measured):
    context = measured.read("context.json")
    assert {"harness_version", "kernel", "cpu_model", "aslr", "page_size", "affinity", "cmdline", "seed",
            "steal_ticks_delta", "ctx_switches", "hyperfine", "libc"} <= set(context["context"])
    assert all(isinstance(v, str) for v in context["context"].values())
    session = context["sessions"][0]
    assert session["before"]["time"] <= session["after"]["time"] and session["rounds_after"] == 12
    assert json.dumps(context).find(str(machine.REPOSITORY)) < 0


def told(label, slices, seconds=1.0, reference=False, status="ok", turn=0):
    return {"workload": label, "entry": "base" if reference else "other", "is_reference": reference, "turn": turn,
            "cell": {"workload": label, "status": status, "seconds": seconds, "operations_counted": 10, "slices_ns": slices}}


def test_settle_slices_by_hand():
    """A disturbance of three slices in a row moves neither side: it is in both; the first slice counts for nothing."""
    base = told("w", [999, 100, 100, 300, 300, 300, 100, 100], reference=True)
    slow = told("w", [1, 110, 110, 330, 330, 330, 110, 9999])
    alone, bad = told("v", [50, 50, 70, 50]), told("w", [0, 0, 0], status="crashed")
    hyperfine.settle_slices([slow, base, alone, bad])
    assert base["cell"]["seconds"] == pytest.approx(100 * 8e-9) and slow["cell"]["seconds"] == pytest.approx(110 * 8e-9)
    assert slow["cell"]["ns_per_op"] == pytest.approx(88)
    assert slow["slices_ns"].split()[0] == "1" and "slices_ns" not in slow["cell"]
    assert alone["cell"]["seconds"] == pytest.approx(50 * 4e-9) and bad["cell"]["seconds"] == 1.0
    assert all("is_reference" not in r for r in (base, slow, alone, bad))


def test_settle_turns_of_a_benchmark_by_hand():
    """Turns whose memory lies well and badly, at two speeds of the machine: the median turn counts."""
    results = [told("w", [9, 100, 100, 100], reference=True, turn=1), told("w", [9, 110, 110, 110], turn=1),
               told("w", [9, 300, 300, 300], reference=True, turn=2), told("w", [9, 270, 270, 270], turn=2),
               told("w", [9, 200, 200, 200], reference=True, turn=3), told("w", [9, 202, 202, 999], turn=3)]
    hyperfine.settle_slices(results)
    assert [r["cell"]["seconds"] for r in results[::2]] == [pytest.approx(200 * 4e-9)] * 3
    assert [r["cell"]["seconds"] for r in results[1::2]] == [pytest.approx(202 * 4e-9)] * 3
    assert all("turn" not in r for r in results)


def test_settle_uneven_slices_by_hand():
    """Most of the time is in five slices, where the other one takes half: it is not twice as slow, as the median slice says."""
    base = told("w", [9] + [10, 10, 10, 10, 1000] * 5, reference=True)
    other = told("w", [9] + [20, 20, 20, 20, 500] * 5)
    even = told("v", [9] + [10, 11, 10, 10, 10] * 4 + [900] * 3)
    hyperfine.settle_slices([base, other, even])
    assert base["cell"]["seconds"] == pytest.approx(1040 / 5 * 26e-9) and other["cell"]["seconds"] == pytest.approx(580 / 5 * 26e-9)
    assert even["cell"]["seconds"] == pytest.approx(10 * 24e-9)


def test_settle_turns_of_a_trace_by_hand():
    """A long slice counts by its length; what disturbs a slice in one turn of three, on either side, is not in the sum."""
    base = [[10, 1000, 20], [10, 9000, 20], [10, 1000, 20]]
    other = [[20, 1000, 20], [20, 9000, 20], [99, 1000, 10]]
    results = [told("t.hgt", slices, reference=which is base, turn=turn) for which in (base, other)
               for turn, slices in enumerate(which)]
    hyperfine.settle_slices(results)
    assert {r["entry"]: r["cell"]["seconds"] for r in results} == {"base": pytest.approx(1030e-9), "other": pytest.approx(1040e-9)}


def test_runs_of_a_cell_in_one_round_by_hand():
    def run(seconds, position, status="ok"):
        return {"workload": "w", "entry": "core", "times": [seconds + 1], "exit_codes": [0], "position": position,
                "cell": {"status": status, "seconds": seconds, "cpu_seconds": seconds}}
    merged, = hyperfine.merge_turns([run(3, 0), run(2, 4), run(5, 9)])
    assert merged["cell"]["seconds"] == 2 and merged["position"] == 4 and merged["times"] == [4, 3, 6]
    assert merged["turns"] == {"position": [0, 4, 9], "seconds": [3, 2, 5], "cpu_seconds": [3, 2, 5]}
    merged, = hyperfine.merge_turns([{**run(3, 0), "slices_ns": "1 2"}, {**run(2, 4), "slices_ns": "3 4"}])
    assert merged["turns"]["slices_ns"] == ["1 2", "3 4"] and "slices_ns" not in merged
    merged, = hyperfine.merge_turns([run(3, 0), run(2, 4, "crashed")])
    assert merged["cell"]["status"] == "crashed"
