"""The dashboard flavours pass the rules of those who read them, which are written out here again."""
import math
import re
import statistics
from pathlib import Path

import pytest

from support import program, run, strict_json

UNITS = {"ns", "us", "ms", "s"}


def github_googlecpp(text):
    """github-action-benchmark, tool googlecpp: every entry is a series; names must not repeat."""
    series = []
    for entry in strict_json(text)["benchmarks"]:
        value = entry["real_time"]
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"no value: {entry}")
        if re.search(r"_(mean|median|stddev|cv|BigO|RMS)$", entry["name"]) or "error_occurred" in entry:
            raise ValueError(f"a bogus series: {entry['name']}")
        extra = f"iterations: {entry['iterations']}\ncpu: {entry['cpu_time']} {entry['time_unit']}\nthreads: {entry['threads']}"
        series.append({"name": entry["name"], "value": value, "unit": entry["time_unit"] + "/iter", "extra": extra})
    if len({s["name"] for s in series}) != len(series):
        raise ValueError("a name twice")
    return series


def bencher_cpp_google(text):
    """Bencher, adapter cpp_google: serde, so every field must be there with its type, in every entry."""
    report = strict_json(text)
    if not isinstance(report["context"]["caches"], list):
        raise ValueError("caches is no array")
    table = {}
    for entry in report["benchmarks"]:
        name, value, unit = entry["name"], entry["real_time"], entry["time_unit"]
        if not isinstance(name, str) or not isinstance(value, float) or unit not in UNITS:
            raise ValueError(f"refused: {entry}")
        table[name] = value * {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[unit]
    if len(table) != len(report["benchmarks"]):
        raise ValueError("a name twice: one would vanish")
    return table


def custom_smaller_is_better(text):
    entries = strict_json(text)
    for entry in entries:
        if not isinstance(entry["name"], str) or not isinstance(entry["unit"], str):
            raise ValueError(f"refused: {entry}")
        if not math.isfinite(float(entry["value"])):
            raise ValueError(f"no value: {entry}")
    return entries


def bencher_metric_format(text):
    table = strict_json(text)
    for measures in table.values():
        for metric in measures.values():
            value = metric["value"]
            if not metric.get("lower_value", value) <= value <= metric.get("upper_value", value):
                raise ValueError(f"bounds that do not hold their value: {metric}")
    return table


def dashboard(tmp_path, flavour, *flags):
    """The dashboard file, the full file of the same run."""
    out, full = tmp_path / "dashboard.json", tmp_path / "full.json"
    done = run(program("benchmark_twin_ours"), f"--dashboard_out={out}", f"--dashboard_format={flavour}",
               f"--benchmark_out={full}", "--benchmark_min_time=0.005", "--benchmark_repetitions=7", *flags)
    assert done.returncode == 1, "the twin holds benchmarks that report an error"
    return out.read_text(), strict_json(full.read_text())["benchmarks"]


def medians(full):
    """The median of every benchmark that was measured, by name; ours to add up again."""
    times = {}
    for entry in full:
        if entry["run_type"] == "iteration" and "error_occurred" not in entry:
            times.setdefault(entry["run_name"], []).append(entry["real_time"])
    return {name: statistics.median(values) for name, values in times.items()}


WITHOUT_AGGREGATES_ONLY = "--benchmark_filter=-aggregates_only"


def test_googlecpp(tmp_path):
    text, full = dashboard(tmp_path, "googlecpp", WITHOUT_AGGREGATES_ONLY)
    expected = medians(full)
    found = {s["name"]: s["value"] for s in github_googlecpp(text)}
    assert found == pytest.approx(expected)
    assert set(bencher_cpp_google(text)) == set(expected)


def test_custom_smaller_is_better(tmp_path):
    text, full = dashboard(tmp_path, "customSmallerIsBetter", WITHOUT_AGGREGATES_ONLY)
    entries = custom_smaller_is_better(text)
    assert {e["name"]: e["value"] for e in entries} == pytest.approx(medians(full))
    assert {e["unit"] for e in entries} <= {f"{u}/iter" for u in UNITS}
    assert all(re.fullmatch(r"± [\d.e+-]+", e["range"]) for e in entries)


def test_bmf(tmp_path):
    text, full = dashboard(tmp_path, "bmf", WITHOUT_AGGREGATES_ONLY)
    table = bencher_metric_format(text)
    assert set(table) == set(medians(full))
    seven = [m["latency"] for name, m in table.items() if "repeats:" not in name]
    assert all({"value", "lower_value", "upper_value"} == set(m) for m in seven)
    three = [m["latency"] for name, m in table.items() if "repeats:3" in name]
    assert three and all(set(m) == {"value"} for m in three), "under 6 repetitions there is no interval"


def test_the_full_file_is_refused(tmp_path):
    """Why there is a flavour at all, and the rules seen to refuse."""
    full = tmp_path / "full.json"
    run(program("benchmark_twin_ours"), f"--benchmark_out={full}", "--benchmark_repetitions=2",
        "--benchmark_filter=linear|error_before")
    with pytest.raises((ValueError, KeyError)):
        github_googlecpp(full.read_text())
    with pytest.raises((ValueError, KeyError)):
        bencher_cpp_google(full.read_text())


@pytest.mark.parametrize("rule, text", [
    (github_googlecpp, '{"benchmarks": [{"name": "x", "real_time": NaN}]}'),
    (bencher_cpp_google, '{"context": {"caches": []}, "benchmarks": [{"name": "x", "real_time": 1.0, "time_unit": "h"}]}'),
    (custom_smaller_is_better, '[{"name": "x", "unit": "ns", "value": "NaN"}]'),
    (bencher_metric_format, '{"x": {"latency": {"value": 1.0, "lower_value": 2.0}}}'),
])
def test_the_rules_can_refuse(rule, text):
    with pytest.raises(ValueError):
        rule(text)


def test_unwritable(tmp_path):
    missing = Path(tmp_path) / "no" / "folder.json"
    done = run(program("benchmark_twin_ours"), f"--dashboard_out={missing}")
    assert done.returncode == 2 and "invalid file name" in done.stderr
