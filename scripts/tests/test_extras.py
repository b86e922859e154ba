"""compare --frag and --fuzz: measured once, kept, shown; a failure is a row of its own."""

import json
import re

import jsonschema
from browser import By, Page, needs_browser
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


def test_scaling_is_measured_once_and_shown(bench):
    bench.config = {"noise": 0.001}
    status, out, err = bench.compare("--scaling", "--rounds=6")
    assert status == 0, err
    told, results = bench.read("scaling.json"), bench.read("results.json")
    jsonschema.validate(told, json.loads((ROOT / "results/schema/scaling.schema.json").read_text()))
    jsonschema.validate(results, json.loads((ROOT / "results/schema/results.schema.json").read_text()))
    assert results["scaling"]["curves"] == told["curves"]
    assert {c["backend"] for c in told["curves"]} == {"system", "core", "mimalloc", "null"}
    assert re.search(r"\| live blocks +\| core +\| +30.\d at 100 +\| +30.\d at 100,000", out) and "null" not in out.split("Scaling")[1]
    figure = (bench.folder / "out/figures/growth.svg").read_text()
    assert "100,000" in figure and "mathdefault" not in figure and "scaling.json" in (bench.folder / "out/SHA256SUMS").read_text()
    before = (bench.folder / "out/scaling.json").read_bytes()
    assert bench.compare("--resume", "--rounds=7")[0] == 0 and (bench.folder / "out/scaling.json").read_bytes() == before


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


def test_traces_are_described_with_their_picture(measured):
    traces = measured.read("results.json")["traces"]
    assert [t["workload"] for t in traces] == ["alpha", "beta"] and traces[0]["threads"] == 2
    assert (measured.folder / "out/figures/trace-alpha.svg").read_text() == traces[0]["picture"]
    page = (measured.folder / "out/report.html").read_text()
    assert "2.5%" in page and page.count('id="traces-table"') == 1


@needs_browser
def test_the_picture_shown_is_the_chosen_traces(measured, chrome):
    page = Page(chrome, measured.folder / "out")
    picture = page.driver.find_element(By.ID, "traces-picture")
    assert picture.get_property("naturalWidth") == 9 and picture.get_attribute("alt").startswith("alpha")
    page.choose("traces-workload", "beta")
    assert page.driver.find_element(By.ID, "traces-picture").get_attribute("alt").startswith("beta")
