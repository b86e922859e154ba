"""Scaling: the exponent of a curve by hand, and the command on the fake heapgauge."""

import json

import jsonschema
import pytest
from conftest import ROOT
from heapgauge import scaling


def test_slope_by_hand():
    assert scaling.slope([1, 10, 100], [3, 3, 3]) == pytest.approx(0)
    assert scaling.slope([1, 10, 100], [2, 20, 200]) == pytest.approx(1)
    assert scaling.slope([4, 16, 64], [2, 4, 8]) == pytest.approx(0.5)
    assert scaling.slope([4], [2]) is None


def test_an_exponent_is_fitted_in_each_round_by_itself():
    """Round 2 ran on a machine three times as slow: no round's exponent feels it. Round 7 lacks a point."""
    table = {x: {n: (3 if n == 2 else 1) * x**0.25 for n in range(1, 7 if x > 10 else 8)} for x in (10, 100, 1000)}
    found = scaling.fit("blocks", table, 2)
    assert found["exponent"] == pytest.approx(0.25) and found["low"] == pytest.approx(0.25) and found["rounds"] == 6
    assert (found["of"], found["x_low"], found["x_high"]) == ("time", 10, 1000)


def test_threads_are_fitted_up_to_the_processors():
    """Perfect up to 4 processors, then the cost of an operation grows: what is oversubscribed is not in the fit."""
    table = {x: {1: 10.0 if x <= 4 else 10.0 * x} for x in range(1, 9)}
    found = scaling.fit("threads", table, 4)
    assert (found["of"], found["x_high"]) == ("throughput", 4) and found["exponent"] == pytest.approx(1)
    marked = scaling.curve("threads", (list(range(1, 9)), "w:{}", "threads", "threads"), "core", table, 4)["points"]
    assert [p["x"] for p in marked if p["oversubscribed"]] == [5, 6, 7, 8]


def test_cost_counts_the_processors_that_were_busy():
    cell = {"seconds": 1.0, "operations_counted": 10**9}
    assert scaling.cost_ns("threads", cell, 4, 2) == pytest.approx(2)
    assert scaling.cost_ns("threads", cell, 1, 2) == scaling.cost_ns("blocks", cell, 10**6, 2) == pytest.approx(1)


def test_the_command_writes_what_its_schema_says(bench):
    bench.config = {"noise": 0.001, "fault": {"size_max:128 on core": "crash"}}
    status, out, err = bench.run("scaling", "--backend=core,system", "--only=blocks", "--quick", "--json=s.json")
    assert status == 1 and "scaling_blocks/live:1000/size_max:128 on core: crashed" in err
    told = json.loads((bench.folder / "s.json").read_text())
    jsonschema.validate(told, json.loads((ROOT / "results/schema/scaling.schema.json").read_text()))
    core, system, null = told["curves"]
    assert core["points"] == [] and core["fit"] is None and null["role"] == "harness"
    assert system["points"][0]["ns_per_op"] == pytest.approx(20, rel=0.01) and abs(system["fit"]["exponent"]) < 0.01
    assert "exponent" in out and "live blocks" in out
