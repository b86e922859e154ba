"""Curves of compare: one run of each cell and kind, kept, thinned without losing the peak, in the model."""

import json

import jsonschema
from conftest import ROOT


def ran(bench):
    """What the fake was asked for."""
    return (bench.folder / "cells.log.curves").read_text().splitlines()


def test_each_cell_is_drawn_once(bench):
    bench.config = {"noise": 0.001}
    assert bench.compare("--rounds=6")[0] == 0
    assert sorted(ran(bench)) == sorted(f"{kind} {w}.hgt {b}" for kind in ("latency", "footprint") for w in ("alpha", "beta")
                                        for b in ("system", "core", "mimalloc"))
    schema = json.loads((ROOT / "results/schema/curves.schema.json").read_text())
    for name in ("curves/001.json", "curves/002.json"):
        jsonschema.validate(bench.read(name), schema)
    core = next(c for c in bench.read("curves/001.json")["cells"] if c["backend"] == "core")
    assert core["latency"]["rows"][0]["percentiles"] == [0, 50, 60, 99.5]  # the ends of each plateau
    assert len(core["footprint"]["seconds"]) <= 153 and max(core["footprint"]["rss_bytes"]) == 2 << 20
    cell = bench.cell("alpha", "core")
    assert cell["latency_ns"] == {"0": 10.0, "50": 10.0, "60": 40.0, "90": 40.0, "99": 40.0, "99.5": 40.0}
    assert cell["footprint_over_time"]["rss_bytes"] == core["footprint"]["rss_bytes"]
    assert bench.cell("alpha", "null")["latency_ns"] is None
    assert bench.compare("--resume", "--rounds=7")[0] == 0
    assert len(ran(bench)) == 12  # nothing twice


def test_what_went_wrong_is_told_and_the_rest_is_there(bench):
    bench.config = {"noise": 0.001, "fault": {"footprint curve on core": "timeout"}}
    assert bench.compare("--rounds=6")[0] == 0
    core = next(c for c in bench.read("curves/001.json")["cells"] if c["backend"] == "core")
    assert core["status"] == "timeout" and core["detail"].startswith("footprint: no end") and core["latency"]
    assert bench.cell("alpha", "core")["footprint_over_time"] is None and bench.cell("alpha", "core")["status"] == "ok"


def test_they_can_be_left_out(bench):
    bench.config = {"noise": 0.001}
    assert bench.compare("--rounds=6", "--no-curves")[0] == 0
    assert not (bench.folder / "out/curves").exists() and not (bench.folder / "cells.log.curves").exists()


def test_an_edited_file_is_named(bench):
    bench.config = {"noise": 0.001}
    bench.compare("--rounds=6")
    (bench.folder / "out/curves/001.json").write_text("{}")
    status, _, err = bench.run("report", "out")
    assert status == 2 and "out/curves/001.json" in err
