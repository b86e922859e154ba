"""compare --frag and --fuzz: measured once, kept, shown; a failure is a row of its own."""

import json
import re

import jsonschema
from conftest import ROOT


def ran(bench):
    """What the fake was asked for, in order."""
    return (bench.folder / "cells.log.extras").read_text().split("\n")[:-1]


def test_fragmentation_and_fuzzing_are_measured_once_and_shown(bench):
    bench.config = {"noise": 0.001}
    status, out, err = bench.compare("--frag", "--fuzz=2", "--rounds=6")
    assert status == 0, err
    assert ran(bench) == [f"{what} {backend}" for what in ("frag", "fuzz") for backend in ("system", "core", "mimalloc")]
    assert "| robson" in out and "1.25" in out and "| 25%" in out.replace("|            25%", "| 25%")
    assert "C30: aligned to 128 only" in out and "core_inside" not in out
    results = bench.read("results.json")
    jsonschema.validate(results, json.loads((ROOT / "results/schema/results.schema.json").read_text()))
    assert [(r["adversary"], r["backend"]) for r in results["frag"]] == \
        [(a, b) for a in ("robson", "aging") for b in ("system", "core", "mimalloc")]
    for row in results["frag"]:
        assert len(row["curve"]["rss_bytes"]) <= 153 and max(row["curve"]["rss_bytes"]) == row["at_rss_peak"]["rss_bytes"]
    assert "/tmp/x" not in json.dumps(results) and (bench.folder / "out/figures/frag.svg").exists()
    assert bench.compare("--resume", "--rounds=7")[0] == 0
    assert len(ran(bench)) == 6  # nothing twice


def test_they_can_be_added_to_a_run_that_ended(bench):
    bench.config = {"noise": 0.001}
    assert bench.compare("--rounds=6")[0] == 0
    assert bench.read("results.json")["frag"] == [] and "Fragmentation" not in (bench.folder / "out/table.md").read_text()
    assert bench.run("compare", "--resume", "--frag", "-o", "out")[0] == 0
    assert len(bench.read("frag.json")) == 6


def test_a_backend_that_dies_there_is_told(bench):
    bench.config = {"noise": 0.001, "fault": {"frag on core": "dies"}}
    status, out, err = bench.compare("--frag", "--rounds=6")
    assert status == 0, err
    assert re.search(r"\| all +\| core +\| +error ", out)
    row = next(r for r in bench.read("results.json")["frag"] if r["backend"] == "core")
    assert row["status"] == "error" and "-11" in row["detail"]


def test_an_edited_file_is_named(bench):
    bench.compare("--frag", "--rounds=6")
    (bench.folder / "out/frag.json").write_text("[]")
    status, _, err = bench.run("report", "out")
    assert status == 2 and "out/frag.json" in err
