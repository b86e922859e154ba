"""What the tests of the scripts share: a results folder made by a fake heapgauge, and made-up rounds."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAKE = Path(__file__).with_name("fake_heapgauge.py")
sys.path.insert(0, str(ROOT / "scripts/python"))


class Bench:
    """A scratch place in which `heapgauge compare` and its kin run on a fake heapgauge."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("alpha", "beta"):
            (folder / f"{name}.hgt").write_bytes(name.encode())
        self.log = folder / "cells.log"
        self.config = {}
        self.program = FAKE

    def environment(self):
        (self.folder / "fake.json").write_text(json.dumps(self.config))
        return {**os.environ, "HEAPGAUGE": str(self.program), "PYTHONPATH": str(ROOT / "scripts/python"),
                "FAKE_CONFIG": str(self.folder / "fake.json"), "FAKE_LOG": str(self.log),
                "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, *words):
        """The subcommand as a running process."""
        return subprocess.Popen(["/usr/bin/python3", "-m", "heapgauge", *map(str, words)], cwd=self.folder,
                                env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *words):
        """(exit status, stdout, stderr) of the subcommand."""
        child = self.start(*words)
        out, err = child.communicate(timeout=300)
        return child.returncode, out, err

    def compare(self, *words, output="out"):
        """A small compare: two backends beside the baseline."""
        return self.run("compare", "alpha.hgt", "beta.hgt", "--backends=system,core,mimalloc", "--quick",
                        "--seed=1", "-o", output, *words)

    def read(self, name, output="out"):
        """A JSON file of a results folder."""
        return json.loads((self.folder / output / name).read_text())

    def cell(self, workload, backend, output="out"):
        """A cell of results.json."""
        return next(c for c in self.read("results.json", output)["cells"]
                    if (c["workload"], c["backend"]) == (workload, backend))


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def measured(tmp_path_factory):
    """A finished run of 12 rounds, to be read and not changed."""
    made = Bench(tmp_path_factory.mktemp("measured"))
    made.config = {"footprint": {"mimalloc": 1.5}}
    status, out, err = made.compare("--rounds=12")
    assert status == 0, err
    made.printed = out
    return made


@pytest.fixture(scope="session")
def chrome(tmp_path_factory):
    """One browser for all tests; only asked for by those marked needs_browser."""
    import browser
    driver = browser.start(f"user-data-dir={tmp_path_factory.mktemp('browser')}")
    yield driver
    driver.quit()


def synthetic_rounds(count, seconds, seed=0, noise=0.01, drift=0.2, workloads=("w",)):
    """Rounds as compare stores them, without running anything.

    `seconds` gives each entry's time; all of a round share a random drift, each adds its own noise.
    """
    rng = random.Random(seed)
    rounds = []
    for number in range(1, count + 1):
        results = []
        for workload in workloads:
            common = 1 + abs(rng.gauss(0, drift))
            for position, (entry, time) in enumerate(seconds.items()):
                value = time * common * (1 + rng.gauss(0, noise))
                results.append({"workload": workload, "entry": entry, "position": position, "exit_codes": [0],
                                "cell": {"status": "ok", "seconds": value, "cpu_seconds": value,
                                         "operations_asked": 1000, "operations_counted": 1000, "threads": 1,
                                         "live_peak_bytes": 100 << 20, "rss_baseline_bytes": 1 << 20,
                                         "rss_at_live_peak_bytes": 121 << 20, "rss_peak_bytes": 122 << 20}})
        rounds.append({"round_version": 1, "round": number, "results": results})
    return rounds


def synthetic_plan(seconds, workloads=("w",), seed=1):
    """The plan that fits synthetic_rounds()."""
    roles = {"system": "baseline", "system#aa": "control", "null": "harness"}
    return {"plan_version": 1, "created": "2026-01-01T00:00:00+00:00", "command": "heapgauge compare", "seed": seed,
            "quick": True, "rounds": 10, "budget_s": None, "timeout_s": 60.0, "memory_bytes": 1 << 30,
            "baseline": "system", "unavailable": [], "program_sha256": "",
            "entries": [{"name": n, "backend": n.split("#")[0], "role": roles.get(n, "backend")} for n in seconds],
            "workloads": [{"name": w, "spec": f"{w}.hgt", "class": "trace", "iterations": 1, "sha256": "0" * 64}
                          for w in workloads]}


def synthetic_curves(backend):
    """A cell of curves/NNN.json."""
    row = {"operation": None, "size_max_bytes": None, "count": 1000, "mean_ns": 30.0, "max_ns": 500.0,
           "at": {"50": 20.0, "99": 90.5, "99.9": 400.0}}
    return {"backend": backend, "status": "ok", "detail": "",
            "latency": {"clock": "tsc", "clock_cost_ns": 18.0, "clock_resolution_ns": 3.0, "rows": [row]},
            "footprint": {"operations": 2, "is_cut": False, "operation": [1, 2], "seconds": [0, 1], "live_bytes": [0, 5],
                          "rss_bytes": [1 << 20, 2 << 20]}}


def synthetic_scaling(backends):
    """scaling.json: blocks cost as their square root, threads perfect on two processors and then not."""
    from heapgauge import scaling
    tables = {"blocks": {x: {n: x**0.5 * (1 + n / 1000) for n in range(6)} for x in (100, 1000, 10000)},
              "threads": {x: {n: 10.0 * max(1, x / 2) for n in range(6)} for x in (1, 2, 3, 4)}}
    axes = scaling.axes(True, 2)
    return {"scaling_version": 1, "created": "2026-01-01T00:00:00+00:00", "processors": 2, "rounds": 6, "context": {}, "troubles": [],
            "curves": [scaling.curve(name, axes[name], b, {x: {n: (i + 1) * y for n, y in ys.items()} for x, ys in table.items()}, 2)
                       for name, table in tables.items() for i, b in enumerate(backends)]}


def publish_synthetic(path, workloads=("w",), backends=("core", "mimalloc"), rounds=12, detail="", latency=False, crash=None,
                      seed=0, created="2026-01-01T00:00:00+00:00", slower=None, cpu="made up", scaling=False):
    """Writes a whole results folder of made-up rounds, publishes it and returns its page."""
    from heapgauge import report, store
    seconds = {"system": 0.1, "system#aa": 0.1, **{b: 0.04 + 0.03 * i for i, b in enumerate(backends)}, "null": 0.01}
    for name, factor in (slower or {}).items():
        seconds[name] *= factor
    folder = store.Folder(path)
    folder.create()
    plan = synthetic_plan(seconds, workloads)
    plan["created"] = created
    folder.write_json("plan.json", plan)
    folder.write_json("backends.json", [{"name": n, "version": "1"} for n in seconds if "#" not in n])
    folder.write_json("verdicts.json", [])
    folder.write_json("context.json", {"context": {"cpu_model": cpu, "git_sha": f"{seed:040x}"}, "num_cpus": 2, "caches": [], "sessions": []})
    for stored in synthetic_rounds(rounds, seconds, seed=seed, workloads=workloads):
        for result in stored["results"]:
            result["command_line"] = f"heapgauge cell {len(result['workload'])} --backend={result['entry']}"
            if crash == (result["workload"], result["entry"]):
                result["cell"] = {"status": "crashed", "detail": detail}
        folder.write_json(f"rounds/{stored['round']:03d}.json", stored)
    for index, workload in enumerate(workloads if latency else []):
        folder.write_json(f"curves/{index + 1:03d}.json", {"curves_version": 1, "workload": workload, "cells": [
            synthetic_curves(name) for name in seconds if name not in ("system#aa", "null")]})
    if scaling:
        folder.write_json("scaling.json", synthetic_scaling([n for n in seconds if "#" not in n]))
    report.publish(folder)
    return (Path(path) / "report.html").read_text()
