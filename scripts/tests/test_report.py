"""Tables and exports: valid against the schema, readable by their consumers, honest about failures."""

import csv
import json
import math
import re
import shutil
import subprocess
import time
from xml.etree import ElementTree

import jsonschema
import pytest
from conftest import ROOT, publish_synthetic, synthetic_plan, synthetic_rounds
from heapgauge import analysis, exporters, report, stats, store
from heapgauge.errors import Trouble
from heapgauge.exporters import words

SECONDS = {"system": 0.1, "system#aa": 0.1, "core": 0.15, "mimalloc": 0.05, "null": 0.01}


def schema(name):
    return json.loads((ROOT / "results/schema" / f"{name}.schema.json").read_text())


def model_of(rounds, seconds=SECONDS, workloads=("w",), verdicts=(), context=None):
    plan = synthetic_plan(seconds, workloads)
    backends = [{"name": n, "version": "1"} for n in seconds if "#" not in n]
    return analysis.build(plan, backends, list(verdicts), context or {}, rounds, name="made-up")


@pytest.fixture
def model():
    return model_of(synthetic_rounds(20, SECONDS, workloads=("w", "v")), workloads=("w", "v"))


@pytest.fixture
def failed_model():
    """One with each kind of absence: a crash, a broken verdict, no memory figures, no null backend."""
    rounds = synthetic_rounds(20, SECONDS, workloads=("w", "v"))
    for stored in rounds:
        for result in stored["results"]:
            if (result["workload"], result["entry"]) == ("w", "core"):
                result["cell"] = {"status": "crashed", "detail": "SIGSEGV | at 0x10 & 50%_{"}
            if result["entry"] == "mimalloc":
                for key in [k for k in result["cell"] if k.endswith("_bytes")]:
                    del result["cell"][key]
        stored["results"] = [r for r in stored["results"]
                             if (r["workload"], r["entry"]) not in (("v", "core"), ("v", "null"))]
    verdict = {"workload": "v", "backend": "core", "verdict": "broken", "item": "C4", "operation": 3, "detail": "misaligned"}
    return model_of(rounds, workloads=("w", "v"), verdicts=[verdict])


@pytest.mark.parametrize("which", ["model", "failed_model"])
def test_results_follow_their_schema(which, request):
    found = json.loads(exporters.render("results.json", request.getfixturevalue(which)))
    jsonschema.validate(found, schema("results"))


def test_a_real_run_follows_the_schemas(measured):
    jsonschema.validate(measured.read("results.json"), schema("results"))
    for number in (1, 12):
        jsonschema.validate(measured.read(f"rounds/{number:03d}.json"), schema("round"))


def test_the_schema_sees_a_mistake(measured):
    wrong = measured.read("results.json")
    wrong["cells"][0]["time"]["median"] = "fast"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema("results"))


@pytest.mark.parametrize("which", ["model", "failed_model"])
@pytest.mark.parametrize("name", list(exporters.EXPORTERS))
def test_no_output_holds_nan_or_a_python_word(name, which, request):
    text = exporters.render(name, request.getfixturevalue(which))
    text = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.S)  # the page's own programs
    assert text.endswith("\n") and not re.search(r"\b(nan|inf|Infinity|None|NaN)\b", text)


def test_every_number_is_the_one_recomputed_from_the_rounds(measured):
    """Independent arithmetic on the raw files: no code of ours but json."""
    rounds = [measured.read(f"rounds/{n:03d}.json") for n in range(1, 13)]
    for cell in measured.read("results.json")["cells"]:
        def seconds(entry):
            return [next(r["cell"]["seconds"] for r in stored["results"]
                         if (r["workload"], r["entry"]) == (cell["workload"], entry)) for stored in rounds]
        counted = next(r["cell"]["operations_counted"] for r in rounds[0]["results"] if r["workload"] == cell["workload"])
        mine = sorted(s * 1e9 / counted for s in seconds(cell["backend"]))
        assert cell["time"]["median"] == pytest.approx((mine[5] + mine[6]) / 2)
        assert (cell["time"]["low"], cell["time"]["high"]) == pytest.approx((mine[2], mine[9]))  # 3rd and 10th of 12
        if cell["time_ratio"]:
            logs = sorted(math.log(a / b) for a, b in zip(seconds(cell["backend"]), seconds("system")))
            ratio = cell["time_ratio"]
            assert ratio["value"] == pytest.approx(math.exp((logs[5] + logs[6]) / 2))
            assert (ratio["low"], ratio["high"]) == pytest.approx((math.exp(logs[2]), math.exp(logs[9])))


def test_table_shows_the_ratio_interval_and_word(model):
    text = exporters.render("table.md", model)
    cell = next(c for c in model["cells"] if (c["workload"], c["backend"]) == ("w", "mimalloc"))
    row = next(line for line in text.splitlines() if "| mimalloc" in line)
    ratio = cell["time_ratio"]
    assert f"{ratio['value']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}]" in row and "faster" in row
    assert "system (A/A)" in text and "Noise floor" in text
    main_table = next(part for part in text.split("\n\n") if part.startswith("| workload"))
    widths = {len(line) for line in main_table.splitlines()}
    assert len(widths) == 1  # columns line up in a terminal


def test_failed_cells_are_named_and_empty(failed_model):
    text = exporters.render("table.md", failed_model)
    assert "- core on w: crashed: 20 of 20 rounds: SIGSEGV" in text
    assert "- core on v: broken: C4 at operation 3 misaligned" in text
    rows = list(csv.DictReader(exporters.render("table.csv", failed_model).splitlines()))
    row = next(r for r in rows if (r["workload"], r["backend"]) == ("w", "core"))
    assert row["status"] == "crashed" and row["ns_per_op_median"] == "" and row["time_ratio_value"] == ""
    good = next(r for r in rows if (r["workload"], r["backend"]) == ("w", "mimalloc"))
    assert float(good["ns_per_op_median"]) > 0 and good["footprint_overhead_median"] == ""
    assert r"crashed" in exporters.render("table.tex", failed_model)


def test_noisy_baseline_is_stamped_and_proves_nothing():
    seconds = {**SECONDS, "system#aa": 0.11}  # the baseline differs from itself by 10 %
    model = model_of(synthetic_rounds(20, seconds), seconds)
    assert model["noisy"] and any("NOISY" in f for f in model["findings"])
    text = exporters.render("table.md", model)
    assert "**NOISY**" in text and "| noisy" in text and "faster" not in text.split("Time / system")[0]
    assert not [m for m in model["means"] if m["quantity"] == "time"]
    assert "NOISY" in exporters.render("table.tex", model)


def test_quiet_baseline_is_not_stamped_more_often_than_said():
    names = ("a", "b", "c", "d", "e")
    stamped = sum(model_of(synthetic_rounds(20, SECONDS, seed=s, noise=0.05, workloads=names), workloads=names)["noisy"]
                  for s in range(60))
    assert stamped <= 6  # at most 5 % are expected


def test_differences_are_found_and_the_same_is_not():
    same = {**SECONDS, "core": 0.1}
    words = []
    for seed in range(60):
        model = model_of(synthetic_rounds(20, same, seed=seed), same)
        words.append(next(c for c in model["cells"] if c["backend"] == "core")["time_ratio"]["word"])
    assert words.count("faster") + words.count("slower") <= 2
    assert words.count("equivalent") >= 50


def test_too_few_rounds_say_so():
    model = model_of(synthetic_rounds(5, SECONDS))
    text = exporters.render("table.md", model)
    assert "Too few rounds" in text and "faster |" not in text
    assert all(c["time_ratio"]["word"] == "inconclusive" for c in model["cells"] if c["role"] == "backend")


def test_a_workload_that_measures_the_harness_has_no_number():
    seconds = {**SECONDS, "null": 0.099}
    model = model_of(synthetic_rounds(20, seconds, noise=0.0001), seconds)
    assert {c["status"] for c in model["cells"] if c["role"] == "backend"} == {"harness-bound"}


def test_compare_py_reads_google_benchmarks_flavour(model, tmp_path):
    tool = find_compare()
    if not tool:
        pytest.skip("needs compare.py: apt-get install libbenchmark-tools")
    (tmp_path / "all.json").write_text(exporters.render("google-benchmark.json", model))
    done = subprocess.run(["/usr/bin/python3", tool, "--no-color", "filters", "all.json", "backend:system$",
                           "backend:mimalloc$"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    overall = re.search(r"OVERALL_GEOMEAN\s+(-?[\d.]+)", done.stdout)
    assert overall and float(overall[1]) == pytest.approx(-0.5, abs=0.03), done.stdout
    assert "_pvalue" in done.stdout


def find_compare():
    listed = subprocess.run(["dpkg", "-L", "libbenchmark-tools"], capture_output=True, text=True).stdout
    return next((line for line in listed.splitlines() if line.endswith("/compare.py")), None)


@pytest.mark.parametrize("which", ["model", "failed_model"])
def test_dashboards_get_one_row_a_cell(which, request):
    found = request.getfixturevalue(which)
    good = [c for c in found["cells"] if c["status"] == "ok" and c["role"] in ("baseline", "backend")]
    names = {f"{c['workload']}/backend:{c['backend']}" for c in good}
    google = json.loads(exporters.render("dashboard.json", found))
    # Bencher: caches is a list; every entry has name, real_time, time_unit. The action: value and unit.
    assert isinstance(google["context"]["caches"], list)
    assert [b["name"] for b in google["benchmarks"]] == [f"{c['workload']}/backend:{c['backend']}" for c in good]
    assert all(b["real_time"] > 0 and b["time_unit"] == "ns" for b in google["benchmarks"])
    bencher = json.loads(exporters.render("bencher.json", found))
    assert set(bencher) == names
    assert all(m["latency"]["lower_value"] <= m["latency"]["value"] <= m["latency"]["upper_value"] for m in bencher.values())
    action = json.loads(exporters.render("action-benchmark.json", found))
    assert {a["name"] for a in action} == names and all(a["value"] > 0 and a["unit"] == "ns/op" for a in action)


SVG = "{http://www.w3.org/2000/svg}"


def figures_of(path, **more):
    publish_synthetic(path, workloads=("churn/threads:1", "churn/threads:4", "plain"), **more)
    return {p.name: p.read_bytes() for p in (path / "figures").iterdir()}


def words_in(svg):
    return [t.text for t in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_figures_show_what_the_results_hold(tmp_path):
    found = figures_of(tmp_path / "one", latency=True, crash=("plain", "core"), detail="SIGSEGV")
    assert set(found) == {"intervals.svg", "heat.svg", "heat-memory.svg", "front.svg", "footprint.svg", "latency.svg",
                          "footprint-over-time.svg", "scaling.svg"}
    cells = json.loads((tmp_path / "one/results.json").read_text())["cells"]
    shown = " ".join(words_in(found["heat.svg"]))
    for cell in cells:
        if cell["role"] == "backend":
            assert (f"{cell['time_ratio']['value']:.3f}" if cell["time_ratio"] else "crashed") in shown
    assert "churn" in words_in(found["scaling.svg"]) and "plain" not in words_in(found["scaling.svg"])


def test_figures_without_data_are_not_there_and_stale_ones_go(tmp_path):
    (tmp_path / "two/figures").mkdir(parents=True)
    (tmp_path / "two/figures/latency.svg").write_text("old")
    found = figures_of(tmp_path / "two")
    assert "latency.svg" not in found and "footprint-over-time.svg" not in found and "heat.svg" in found


def test_figures_are_the_same_bytes_for_the_same_data(tmp_path):
    assert figures_of(tmp_path / "a") == figures_of(tmp_path / "b")
    assert figures_of(tmp_path / "c", seed=5) != figures_of(tmp_path / "a")


def test_latex_has_no_raw_specials(failed_model):
    text = exporters.render("table.tex", failed_model)
    for line in text.splitlines():
        assert not re.search(r"(?<!\\)[#%$_]", line) or line.startswith("%"), line
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert r"\toprule" in text and r"\bottomrule" in text


# ---- folders that are not whole ----

def copy_of(measured, tmp_path):
    shutil.copytree(measured.folder / "out", tmp_path / "out")
    return tmp_path / "out"


RAW = ["plan.json", "backends.json", "verdicts.json", "counts.json", "context.json", "rounds/004.json", "rounds/012.json"]


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("harm, says", [
    ("remove", "missing"), ("cut", "cut or edited"), ("empty", "cut or edited"), ("edit", "changed since"),
])
def test_a_harmed_file_is_named(measured, tmp_path, name, harm, says):
    folder = copy_of(measured, tmp_path)
    path = folder / name
    data = path.read_bytes()
    if harm == "remove":
        path.unlink()
    else:
        path.write_bytes({"cut": data[:len(data) // 2], "empty": b"", "edit": data.replace(b": ", b":  ", 1)}[harm])
    with pytest.raises(Trouble, match=says) as trouble:
        report.load(store.Folder(folder))
    assert str(path) in str(trouble.value)


@pytest.mark.parametrize("content, says", [(b"garbage\n", "SHA256SUMS: line 1"), (b"", "not listed")])
def test_a_harmed_manifest_is_named(measured, tmp_path, content, says):
    folder = copy_of(measured, tmp_path)
    (folder / "SHA256SUMS").write_bytes(content)
    (folder / ".pending").unlink()
    with pytest.raises(Trouble, match=says):
        report.load(store.Folder(folder))


def test_a_smuggled_round_is_named(measured, tmp_path):
    folder = copy_of(measured, tmp_path)
    shutil.copyfile(folder / "rounds/012.json", folder / "rounds/013.json")
    with pytest.raises(Trouble, match="013.json: not listed"):
        report.load(store.Folder(folder))


def test_report_by_hand(measured, tmp_path):
    from conftest import Bench
    bench = Bench(tmp_path)
    copy_of(measured, tmp_path)
    (tmp_path / "out/table.md").unlink()
    status, out, err = bench.run("report", "out", "--only=table.md")
    assert status == 0 and out.strip() == measured.printed.strip() and (tmp_path / "out/table.md").exists()
    (tmp_path / "out/rounds/002.json").write_text("{")
    status, out, err = bench.run("report", "out")
    assert status == 2 and err.startswith("heapgauge report: out/rounds/002.json: ") and err.count("\n") == 1
    status, out, err = bench.run("report", "nowhere")
    assert status == 2 and "nowhere" in err


def test_thirty_workloads_on_five_backends_in_twenty_rounds_are_fast(tmp_path):
    seconds = {**SECONDS, "jemalloc": 0.07, "tcmalloc": 0.06}
    names = tuple(f"w{i}" for i in range(30))
    rounds = synthetic_rounds(20, seconds, workloads=names)
    started = time.process_time()
    model = model_of(rounds, seconds, names)
    for name in exporters.OUTPUTS:
        exporters.files(name, model)
    assert time.process_time() - started < 20
    assert stats.CONFIDENCE == model["confidence"]


def test_a_busy_machine_is_mentioned(model):
    reading = {"time": "", "load_average": [3.0, 1, 1], "steal_ticks": 0, "total_ticks": 0, "context_switches": 0}
    model.update(num_cpus=2, sessions=[{"before": reading, "after": reading, "rounds_before": 0, "rounds_after": 20}])
    assert "The machine was busy: load 3.0" in exporters.render("table.md", model)
    reading["load_average"] = [0.3, 1, 1]
    assert "busy" not in exporters.render("table.md", model)


@pytest.mark.parametrize("value, shown", [
    (None, ""), (0, "0"), (0.01234, "0.0123"), (1.5, "1.50"), (9.998, "10.0"), (29.96, "30.0"), (999.6, "1,000"),
    (12345.6, "12,300"),
])
def test_numbers_have_three_digits(value, shown):
    assert words.number(value) == shown


def test_no_figure_shows_markup_instead_of_a_number(tmp_path):
    """Logarithmic axes are labelled in plain numbers: parse_math is off."""
    from conftest import publish_synthetic
    publish_synthetic(tmp_path / "all", workloads=("larson/threads:1", "larson/threads:2"), latency=True, scaling=True)
    figures = {path.stem: path.read_text() for path in (tmp_path / "all/figures").glob("*.svg")}
    assert {"latency", "growth", "scaling"} <= set(figures)
    assert [name for name, text in figures.items() if "mathdefault" in text] == []
