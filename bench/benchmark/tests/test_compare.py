"""The real compare.py (Debian's libbenchmark-tools) reads our files and finds the numbers that are in them."""
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from support import program, run_to_json

COMPARE = Path("/usr/share/benchmark/compare.py")
ROW = re.compile(r"^(?P<name>\S+)\s+(?P<time>[+-]\d+\.\d{4})\s+(?P<cpu>[+-]\d+\.\d{4})\s+"
                 r"(?P<old>\d+)\s+(?P<new>\d+)\s+(?P<cpu_old>\d+)\s+(?P<cpu_new>\d+)$")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    if not COMPARE.exists():
        pytest.skip("compare.py is absent: apt-get install libbenchmark-tools")
    folder = tmp_path_factory.mktemp("compare")
    twin = program("benchmark_twin_ours")
    flags = ["--benchmark_repetitions=9", "--benchmark_filter=paused|hooks|batch"]
    a = run_to_json(twin, folder / "a.json", *flags)
    b = run_to_json(twin, folder / "b.json", *flags)
    return folder / "a.json", folder / "b.json", a, b


def compare(*arguments):
    done = subprocess.run([sys.executable, str(COMPARE), "--no-color", *map(str, arguments)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def parse(text):
    return [match for match in map(ROW.match, text.splitlines()) if match]


def relative(old, new):
    return (new - old) / old if old else 0.0


def by_name(report):
    table = {}
    for entry in report["benchmarks"]:
        if entry["run_type"] == "iteration":
            table.setdefault(entry["name"], []).append(entry)
    return table


def disagreements(text, a, b):
    """Rows of compare.py that are not what the files say."""
    wrong, seen = [], {}
    old, new = by_name(a), by_name(b)
    for row in parse(text):
        name = row["name"]
        if name not in old:
            continue
        i = seen[name] = seen.get(name, -1) + 1
        for key, column in (("real_time", "time"), ("cpu_time", "cpu")):
            expected = relative(old[name][i][key], new[name][i][key])
            if abs(expected - float(row[column])) > 5.1e-5:
                wrong.append((name, column, expected, row[column]))
    if sum(count + 1 for count in seen.values()) != sum(map(len, old.values())):
        wrong.append("rows are missing")
    return wrong


def test_same_numbers(files):
    path_a, path_b, a, b = files
    assert disagreements(compare("benchmarks", path_a, path_b), a, b) == []


def test_the_check_can_fail(files):
    path_a, path_b, a, b = files
    text = compare("benchmarks", path_a, path_b)
    b["benchmarks"][0]["real_time"] *= 1.01
    assert disagreements(text, a, b) != []
    b["benchmarks"][0]["real_time"] /= 1.01
    assert disagreements("\n".join(text.splitlines()[:-20]), a, b) != []


def test_u_test(files):
    scipy = pytest.importorskip("scipy.stats", reason="apt-get install python3-scipy")
    path_a, path_b, a, b = files
    text = compare("benchmarks", path_a, path_b)
    found = dict(re.findall(r"^(\S+)_pvalue\s+([\d.]+)", text, re.MULTILINE))
    assert set(found) == set(by_name(a))
    for name, p in found.items():
        times = [[e["real_time"] for e in by_name(report)[name]] for report in (a, b)]
        expected = scipy.mannwhitneyu(*times, alternative="two-sided").pvalue
        assert float(p) == pytest.approx(expected, abs=5.1e-5)


def test_geometric_mean(files):
    path_a, path_b, a, b = files
    text = compare("benchmarks", path_a, path_b)
    found = re.search(r"^OVERALL_GEOMEAN\s+([+-][\d.]+)", text, re.MULTILINE)
    assert found
    ratios = [new["real_time"] / old["real_time"]
              for old, new in zip(a["benchmarks"], b["benchmarks"]) if old["run_type"] == "iteration"]
    assert float(found[1]) == pytest.approx(statistics.geometric_mean(ratios) - 1, abs=6e-5)


def test_filters_mode_pairs_names(files):
    path_a = files[0]
    text = compare("filters", path_a, "paused", "batch")
    assert "[paused vs. batch]" in text


def test_takes_our_program_itself(files):
    path_a = files[0]
    text = compare("benchmarks", path_a, program("benchmark_twin_ours"),
                   "--benchmark_filter=batch", "--benchmark_repetitions=9")
    assert any(row["name"].startswith("batch/") for row in parse(text))
