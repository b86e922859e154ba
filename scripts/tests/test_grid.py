"""Comparisons in blocks: by this machine, and by a real Slurm with tasks killed in mid-run. Nothing is counted twice."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import slurm
from conftest import Bench, synthetic_plan, synthetic_rounds

from heapgauge import blocks, engines, store
from heapgauge.errors import Trouble

BLOCKS = 8
GRID = ("compare", "alpha.hgt", "pair/size:64", "--backends=system,core", "--quick", "--seed=1", "-o", "out")


def grid_of(bench):
    """What the grid's files say: the model, and each block's own files."""
    return bench.read("results.json"), sorted((bench.folder / "out/tasks").iterdir())


def require_each_once(bench, count, rounds):
    """Every block is there once, whole, of one node, and the table counts just these."""
    model, tasks = grid_of(bench)
    assert [p.name for p in tasks] == [f"{n:04d}" for n in range(1, count + 1)]
    told = {b["block"]: b for kind in model["kinds"] for b in kind["blocks"]}
    assert sorted(told) == list(range(1, count + 1))
    assert sum(kind["rounds"] for kind in model["kinds"]) == count * rounds
    for path in tasks:
        folder = store.Folder(path)
        assert len(folder.read_rounds()) == rounds
        context = folder.read_json("context.json")
        assert context["context"]["node"] == told[int(path.name)]["node"]
        # All rounds of a block were begun by sessions on that node, and none is there that no session knows.
        assert context["sessions"][-1]["rounds_after"] == rounds
    return model


# ---- here ----

def test_blocks_on_this_machine(bench):
    status, out, err = bench.run(*GRID, "--engine=local", "--blocks=2", "--rounds=4")
    assert status == 0, err
    model = require_each_once(bench, 2, 4)
    assert "so on one node, never across nodes" in " ".join(out.split())
    ratio = next(c for c in model["kinds"][0]["cells"] if c["backend"] == "core")["time_ratio"]
    assert ratio["unit"] == "rounds" and ratio["pairs"] == 8 and ratio["word"] == "slower"
    # An order of its own for each block.
    plans = [json.loads((p / "plan.json").read_text()) for p in grid_of(bench)[1]]
    assert len({p["seed"] for p in plans}) == 2 and len({p["workloads"][1]["iterations"] for p in plans}) == 1
    status, again, err = bench.run("report", "out")
    assert status == 0 and again == out


def test_more_blocks_and_a_broken_one(bench):
    bench.run(*GRID, "--engine=local", "--blocks=1", "--rounds=1")
    (bench.folder / "out/tasks/0001/rounds/001.json").write_text("{}")
    measured = len(bench.log.read_text().splitlines())
    status, out, err = bench.run("compare", "--engine=local", "--blocks=2", "--resume", "-o", "out")
    assert status == 0 and "put into broken/" in err, err
    require_each_once(bench, 2, 1)
    assert len(bench.log.read_text().splitlines()) > measured
    status, _, err = bench.run("compare", "beta.hgt", "--engine=local", "--resume", "-o", "out")
    assert status == 2 and "workloads differs from the grid" in err
    status, _, err = bench.run(*GRID, "--engine=local")
    assert status == 2 and "add --resume" in err


def test_a_killed_block_goes_on_and_is_counted_once(bench):
    bench.config = {"sleep": 0.05}
    child = bench.start(*GRID, "--engine=local", "--blocks=2", "--rounds=4")
    measuring = bench.folder / "out/measuring"
    end = time.monotonic() + 60
    while len(list(measuring.glob("0001.*/rounds/00[2-9].json"))) == 0:
        assert time.monotonic() < end and child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    status, _, err = bench.run("compare", "--engine=local", "--resume", "-o", "out")
    assert status == 0, err
    require_each_once(bench, 2, 4)
    assert list(measuring.iterdir()) == []


def test_of_two_that_measured_a_block_one_is_dropped(bench):
    bench.run(*GRID, "--engine=local", "--blocks=1", "--rounds=1")
    from heapgauge import grid
    here = grid.Grid(bench.folder / "out")
    kept = (here.done(1) / "context.json").read_bytes()
    shutil.copytree(here.done(1), here.path / "measuring/0001.other")
    grid.finish(here, 1, store.Folder(here.path / "measuring/0001.other"))
    assert not (here.path / "measuring/0001.other").exists() and (here.done(1) / "context.json").read_bytes() == kept


def test_two_tries_on_one_node_write_in_two_places(tmp_path):
    """An orphan of an earlier try still holds its folder: the next one on that node must not write there."""
    from heapgauge import grid
    orphan, held = grid.claim(grid.Grid(tmp_path), 3)
    second, _ = grid.claim(grid.Grid(tmp_path), 3)
    assert orphan.path != second.path and orphan.path.parent == second.path.parent
    held.close()
    again, _ = grid.claim(grid.Grid(tmp_path), 3)
    assert again.path == orphan.path


def test_a_node_with_another_library_is_refused(bench):
    bench.run(*GRID, "--engine=local", "--blocks=1", "--rounds=1")
    shutil.rmtree(bench.folder / "out/tasks/0001")
    base = store.Folder(bench.folder / "out/base")
    listed = base.read_json("backends.json")
    listed[-2]["sha256"] = "1" * 64
    base.write_json("backends.json", listed)
    status, _, err = bench.run("compare", "--engine=local", "--resume", "-o", "out")
    assert status == 2 and "is another library here" in err and "install the same version everywhere" in err


def test_ranges():
    assert engines.ranges([1, 2, 3, 7, 9, 10]) == "1-3,7,9-10"
    assert engines.ranges([4]) == "4"


# ---- the analysis ----

def make_block(tasks, number, node, seconds, cpu="CPU A", rounds=3):
    """A block of made-up rounds as a node would have left it."""
    folder = store.Folder(Path(tasks) / f"{number:04d}")
    folder.create()
    plan = synthetic_plan(seconds)
    plan["rounds"] = rounds
    for name, value in (("plan.json", plan), ("backends.json", [{"name": "core"}]), ("verdicts.json", []), ("counts.json", []),
                        ("context.json", {"context": {"cpu_model": cpu, "node": node}, "num_cpus": 2, "sessions": []})):
        folder.write_json(name, value)
    for stored in synthetic_rounds(rounds, seconds, seed=number):
        folder.write_json(f"rounds/{stored['round']:03d}.json", stored)


def model_of(tasks, count):
    return blocks.build(tasks, synthetic_plan({"system": 1, "system#aa": 1, "core": 1, "null": 1}), [], [], [{"name": "core"}],
                        {"blocks": count})


def core_of(kind):
    return next(c for c in kind["cells"] if c["backend"] == "core")["time_ratio"]


def test_a_slow_node_changes_no_ratio(tmp_path):
    """A node ten times slower has the same ratios: had times been compared across nodes, core would seem slow there."""
    for number in range(1, 17):
        pace = 10 if number % 2 else 1
        make_block(tmp_path, number, f"n{number}", {"system": 0.1 * pace, "system#aa": 0.1 * pace, "core": 0.05 * pace, "null": 0.01})
    kind, = model_of(tmp_path, 16)["kinds"]
    ratio = core_of(kind)
    assert ratio["unit"] == "nodes" and ratio["pairs"] == 16 and ratio["word"] == "faster"
    assert 0.49 < ratio["low"] <= ratio["value"] <= ratio["high"] < 0.51


def test_nodes_that_disagree_are_not_proof(tmp_path):
    """On half of the nodes core is faster, on half slower, each without any doubt: of nodes in general nothing is proven."""
    for number in range(1, 17):
        core = 0.05 if number % 2 else 0.2
        make_block(tmp_path, number, f"n{number}", {"system": 0.1, "system#aa": 0.1, "core": core, "null": 0.01}, rounds=4)
    kind, = model_of(tmp_path, 16)["kinds"]
    assert core_of(kind)["word"] == "inconclusive" and core_of(kind)["spread_over_nodes"] > 3.5


def test_kinds_of_nodes_are_kept_apart(tmp_path):
    for number, cpu in ((1, "CPU A"), (2, "CPU B"), (3, "CPU A")):
        make_block(tmp_path, number, f"n{number}", {"system": 0.1, "system#aa": 0.1, "core": 0.05, "null": 0.01}, cpu)
    model = model_of(tmp_path, 4)
    assert {k["kind"]: len(k["blocks"]) for k in model["kinds"]} == {"CPU A × 2": 2, "CPU B × 2": 1}
    assert "1 of 4 blocks are missing." in blocks.table(model)


def test_half_a_block_is_no_block(tmp_path):
    make_block(tmp_path, 1, "n1", {"system": 0.1, "system#aa": 0.1, "core": 0.05, "null": 0.01})
    (tmp_path / "0001/rounds/003.json").unlink()
    with pytest.raises(Trouble):
        blocks.read(tmp_path / "0001")


# ---- Slurm ----

needs_slurm = pytest.mark.skipif(bool(slurm.why_not()), reason=slurm.why_not())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = slurm.Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


class SlurmBench(Bench):
    cluster = None

    def environment(self):
        return {**super().environment(), "SLURM_CONF": self.cluster.environment["SLURM_CONF"], "USER": "root"}


@pytest.fixture
def batch(tmp_path, cluster):
    made = SlurmBench(tmp_path)
    made.cluster = cluster
    return made


def running(cluster, count):
    """Waits until so many blocks run; node -> (pid of the keeper, pid of the block)."""
    cluster.until(lambda: len(cluster.batch_processes()) >= count, f"{count} blocks running", 60)
    return cluster.batch_processes()


@needs_slurm
def test_slurm_runs_blocks_that_are_killed_and_requeued(batch, cluster):
    batch.config = {"sleep": 0.1}
    child = batch.start(*GRID, "--engine=slurm", f"--blocks={BLOCKS}", "--rounds=2")
    first = running(cluster, 4)
    os.kill(first["n1"][1], signal.SIGKILL)  # the block itself
    os.kill(first["n2"][0], signal.SIGKILL)  # its keeper: the block goes on as an orphan
    job = cluster.run("squeue", "--noheader", "--array", "--states=R", "--nodelist=n3", "--format=%A").split()[0]
    cluster.run("scontrol", "requeue", job)  # what pre-emption does
    out, err = child.communicate(timeout=240)
    assert child.returncode == 0, err
    model = require_each_once(batch, BLOCKS, 2)
    assert len({b["node"] for b in model["kinds"][0]["blocks"]}) >= 2
    assert len(batch.read("grid.json")["jobs"]) >= 2  # the one that was killed had to be submitted again
    cells = len(model["kinds"][0]["cells"]) + 2  # the null backend's
    measured = [line for line in batch.log.read_text().splitlines()]
    assert len(measured) > BLOCKS * 2 * cells  # some were measured twice, none is counted twice


@needs_slurm
@pytest.mark.skipif(not os.environ.get("HG_LONG"), reason="a node that dies is noticed after a minute: HG_LONG=1")
def test_slurm_loses_a_node(batch, cluster):
    batch.config = {"sleep": 0.2}
    child = batch.start(*GRID, "--engine=slurm", f"--blocks={BLOCKS}", "--rounds=2")
    running(cluster, 4)
    cluster.kill_node("n4")
    out, err = child.communicate(timeout=400)
    assert child.returncode == 0, err
    require_each_once(batch, BLOCKS, 2)


@needs_slurm
def test_compare_itself_is_killed_and_resumed(batch, cluster):
    batch.config = {"sleep": 0.05}
    child = batch.start(*GRID, "--engine=slurm", "--blocks=4", "--rounds=1")
    running(cluster, 1)
    child.kill()
    child.communicate()
    status, _, err = batch.run("compare", "--engine=slurm", "--resume", "-o", "out")
    assert status == 0, err
    require_each_once(batch, 4, 1)
    assert len(batch.read("grid.json")["jobs"]) == 1  # what was in the queue was waited for, not submitted again


def test_without_a_slurm_nothing_is_planned(bench):
    bench.environment = lambda made=bench.environment: {**made(), "SLURM_CONF": "/nonexistent"}
    status, _, err = bench.run(*GRID, "--engine=slurm")
    assert status == 2 and ("no Slurm answers here" in err or "sbatch is missing" in err) and err.count("\n") == 1
    assert not (bench.folder / "out").exists()


@needs_slurm
def test_what_slurm_refuses_is_said(batch):
    status, _, err = batch.run(*GRID, "--engine=slurm", "--blocks=2", "--batch-options=--partition=nowhere")
    assert status == 2 and "sbatch" in err and "partition" in err
    status, _, err = batch.run("compare", "--engine=slurm", "--blocks=5000", "--resume", "-o", "out")
    assert status == 2 and "arrays end at 1000" in err


@needs_slurm
def test_blocks_that_always_fail_are_given_up(batch):
    batch.run(*GRID, "--engine=local", "--blocks=1", "--rounds=1")
    (batch.folder / "alpha.hgt").write_bytes(b"another trace")
    status, _, err = batch.run("compare", "--engine=slurm", "--blocks=2", "--resume", "-o", "out")
    assert status == 2 and "block 2 is missing" in err and "is not the trace this was planned with" in err
    assert len(batch.read("grid.json")["jobs"]) == engines.ATTEMPTS
