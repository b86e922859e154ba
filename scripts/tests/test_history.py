"""History: runs in order, change points where they were planted and nowhere else, lines cut where runs don't compare."""

import json
import math
import subprocess

import pytest
from browser import By, Page, Select, needs_browser
from conftest import ROOT, Bench, publish_synthetic
from heapgauge import history
from heapgauge.errors import Trouble


def runs(path, factors, **more):
    """A results folder per factor: how much slower core is in that run."""
    for number, factor in enumerate(factors):
        publish_synthetic(path / f"run-{number}", rounds=20, seed=number, created=f"2026-01-{number + 1:02d}T00:00:00+00:00",
                          slower={"core": factor}, **{k: v[number] for k, v in more.items()})
    return path


def changes(path):
    return [(s["backend"], s["quantity"], c["run"], c["word"]) for s in history.build(history.load_all(path))["series"]
            for c in s["changes"]]


def test_a_planted_step_is_found_where_it_is(tmp_path):
    assert changes(runs(tmp_path, [1, 1, 1, 1.08, 1.08, 1.08])) == [("core", "time", 3, "slower")]


def test_nothing_is_found_where_nothing_changed(tmp_path):
    assert changes(runs(tmp_path, [1] * 8)) == []


def test_small_steps_that_add_up_are_found(tmp_path):
    found = changes(runs(tmp_path, [1, 1.015, 1.03, 1.045, 1.06, 1.075]))
    assert found and found[0][:2] == ("core", "time") and found[0][3] == "slower"


def test_another_machine_cuts_the_line(tmp_path):
    path = runs(tmp_path, [1, 1, 2, 2], cpu=["a", "a", "b", "b"])
    assert changes(path) == []
    assert [bool(r["cut"]) for r in history.build(history.load_all(path))["runs"]] == [False, False, True, False]


def test_change_points_by_hand():
    low, high = [0.0, 0.001, -0.001] * 5, [0.1, 0.101, 0.099] * 5
    found = history.change_points([low, low, None, high, high, low], set(), 0.95)
    assert [(run, against) for run, against, _ in found] == [(3, 1), (5, 4)]
    assert found[0][2].value == pytest.approx(math.exp(0.1), rel=1e-3)
    assert history.change_points([low, high], {1}, 0.95) == []
    assert history.comparisons([low, low, None, high, high, low], set()) == 1 + 2 + 2 + 2
    assert history.comparisons([low, high], {1}) == 0


def test_the_command(tmp_path):
    runs(tmp_path / "results", [1, 1.1])
    status, out, err = Bench(tmp_path).run("report", "--history", "results")
    assert status == 0, err
    assert "run-1: core on w became slower" in out
    assert json.loads((tmp_path / "results/history.json").read_text())["history_version"] == 1
    (tmp_path / "results/run-0/rounds/002.json").write_text("{")
    status, _, err = Bench(tmp_path).run("report", "--history", "results")
    assert status == 2 and "002.json" in err and err.count("\n") == 1
    with pytest.raises(Trouble, match="no results folder"):
        history.load_all(tmp_path / "results/run-1")


@needs_browser
def test_the_history_page(chrome, tmp_path):
    runs(tmp_path, [1, 1, 1.1, 1.1], workloads=[("w", "v")] * 4)
    history.main(tmp_path)
    page = Page(chrome, tmp_path, name="history.html")
    rows = [[c.text for c in r.find_elements(By.TAG_NAME, "td")] for r in page.driver.find_elements(By.CSS_SELECTOR, "#points tbody tr")]
    model = history.load_all(tmp_path)[2]
    cell = next(c for c in model["cells"] if (c["workload"], c["backend"]) == ("w", "core"))
    block = cell["time_ratio"]
    assert rows[2][2] == f"{block['value']:.3f} [{block['low']:.3f}, {block['high']:.3f}] ◆ slower" and "◆" not in rows[3][2]
    Select(page.driver.find_element(By.ID, "workload")).select_by_value("v")
    assert "on v" in page.driver.find_element(By.ID, "title").text and "workload=v" in page.hash
    styles = page.driver.execute_script("return shown.data.datasets.map(s => s.pointStyle)")
    assert styles[0] == ["circle", "circle", "rectRot", "circle"]
    assert not page.complaints()


def test_gate_rates_counts_alarms_and_sees_what_is_planted(tmp_path):
    runs(tmp_path, [1] * 4)
    done = subprocess.run([ROOT / "scripts/gate-rates", *sorted(tmp_path.iterdir())], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = {tuple(x.strip() for x in line.split("|")[1:3]): line for line in done.stdout.splitlines() if line.startswith("|")}
    assert "0 of 2 (0.0%" in lines["A/A, time", "2%"]
    assert "4 of 4 (100.0%" in lines["planted +10%, time", "2%"]  # two pairs of two backends
    assert "0 of 4 (0.0%" in lines["one run, A/A", "2%"]
    done = subprocess.run([ROOT / "scripts/gate-rates", tmp_path / "run-0"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
