"""The same benchmarks against the real library (1.7.1) and against ours: the same structure, field by field.

Where 1.9.5, which we follow, differs from 1.7.1, the difference is listed here and nowhere else.
"""
import copy
import csv
import io
import random
import re

import pytest

from support import program, real_twin, run, run_to_json, strict_json

# context keys that 1.9.5 has and 1.7.1 hasn't, and after which key they stand
NEW_CONTEXT_KEYS = {"aslr_enabled": "cpu_scaling_enabled", "library_version": "load_avg",
                    "json_schema_version": "library_build_type"}
# time over threads: 1.7.1 divides it by them, 1.9.5 doesn't (real_time; manual time as well)
# units: 1.7.1's console writes "G/s" for 1024^3, 1.9.5's "Gi/s"
# "skipped"/"skip_message" came with 1.8.0: a benchmark that is skipped has no twin in 1.7.1

MEASURED = {"real_time", "cpu_time", "cpu_coefficient", "rms", "bytes_per_second", "items_per_second"}
EXACT_TIMES = ("manual", "counters", "statistics", "linear", "square", "nlogn", "lambda")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("structure")
    ours = run_to_json(program("benchmark_twin_ours"), folder / "ours.json", status=1)
    real = run_to_json(real_twin(), folder / "real.json", status=0)
    return ours, real, folder


def differences(ours, real):
    """Where two "benchmarks" arrays differ in anything but measured values."""
    found = []
    if len(ours) != len(real):
        found.append(f"{len(ours)} entries, {len(real)} expected")
    for a, b in zip(ours, real):
        name = b["name"]
        if list(a) != list(b):
            found.append(f"{name}: keys {list(a)}, {list(b)} expected")
            continue
        for key in b:
            if type(a[key]) is not type(b[key]):
                found.append(f"{name}: {key} is a {type(a[key])}, {type(b[key])} expected")
            elif is_comparable(b, key) and a[key] != pytest.approx(b[key], rel=1e-9):
                found.append(f"{name}: {key} is {a[key]!r}, {b[key]!r} expected")
    return found


def is_comparable(entry, key):
    if entry.get("aggregate_name") in ("stddev", "cv") and key in MEASURED:
        return False  # of equal times: rounding
    if entry["name"].startswith(EXACT_TIMES):
        return key not in ("cpu_time", "cpu_coefficient", "rms")
    if key == "iterations":
        return "iterations:" in entry["name"] or entry["run_type"] == "aggregate"
    return key not in MEASURED


def test_benchmarks(reports):
    ours, real, _ = reports
    assert differences(ours["benchmarks"], real["benchmarks"]) == []


def test_context(reports):
    ours, real, _ = reports
    expected = list(real["context"])
    for key, after in NEW_CONTEXT_KEYS.items():
        expected.insert(expected.index(after) + 1, key)
    assert list(ours["context"]) == expected
    for key in real["context"]:
        assert type(ours["context"][key]) is type(real["context"][key]), key
    for key in ("host_name", "num_cpus", "mhz_per_cpu", "cpu_scaling_enabled", "caches"):
        assert ours["context"][key] == real["context"][key], key
    assert ours["context"]["json_schema_version"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", ours["context"]["date"])


def shape(path):
    """The file's lines from "benchmarks" on with digits blotted out: layout and number formats."""
    text = path.read_text()
    text = text[text.index('"benchmarks"'):]
    text = re.sub(r"-?\d\.\d{16}e[+-]\d\d\b", "DOUBLE", text)
    return re.sub(r'("iterations"): \d+', r"\1: INT", text).splitlines()


def test_layout_of_the_file(reports):
    _, _, folder = reports
    assert shape(folder / "ours.json") == shape(folder / "real.json")


def test_list_is_the_same():
    ours = run(program("benchmark_twin_ours"), "--benchmark_list_tests")
    real = run(real_twin(), "--benchmark_list_tests=true")
    assert ours.stdout == real.stdout and ours.stdout
    for filters in ("size:8", "^range/[01]", "-manual|args|threads", "/threads:2$"):
        ours = run(program("benchmark_twin_ours"), "--benchmark_list_tests", f"--benchmark_filter={filters}")
        real = run(real_twin(), "--benchmark_list_tests", f"--benchmark_filter={filters}")
        assert ours.stdout == real.stdout and ours.stdout, filters


def test_indices_count_what_the_filter_takes(tmp_path):
    flags = ["--benchmark_filter=size:8|dense/4|ranges"]
    ours = run_to_json(program("benchmark_twin_ours"), tmp_path / "a", *flags)
    real = run_to_json(real_twin(), tmp_path / "b", *flags)
    assert differences(ours["benchmarks"], real["benchmarks"]) == []


@pytest.mark.parametrize("flags", [
    ["--benchmark_repetitions=3"],
    ["--benchmark_repetitions=2", "--benchmark_report_aggregates_only"],
    ["--benchmark_repetitions=2", "--benchmark_display_aggregates_only=true"],
    ["--benchmark_time_unit=ms"],
    ["--benchmark_context=a=1,b=two"],
])
def test_under_flags(tmp_path, flags):
    flags = [*flags, "--benchmark_filter=-estimated|threads|error"]
    ours = run_to_json(program("benchmark_twin_ours"), tmp_path / "a", *flags)
    real = run_to_json(real_twin(), tmp_path / "b", *flags)
    assert differences(ours["benchmarks"], real["benchmarks"]) == []
    assert list(ours["context"])[-2:] == list(real["context"])[-2:] or "context" not in flags[0]


def spoil_order(entries):
    entries[3] = dict(reversed(entries[3].items()))


def spoil_key(entries):
    del entries[5]["label"]


def spoil_type(entries):
    entries[0]["real_time"] = 1


def spoil_value(entries):
    entries[2]["foo"] = 4.0


def spoil_count(entries):
    entries.pop()


@pytest.mark.parametrize("spoil", [spoil_order, spoil_key, spoil_type, spoil_value, spoil_count])
def test_the_check_can_fail(reports, spoil):
    ours, real, _ = reports
    spoiled = copy.deepcopy(ours["benchmarks"])
    spoil(spoiled)
    assert differences(spoiled, real["benchmarks"]) != []


# ---- Console ----

NUMBER = r"[ \d.e+-]{10,}"
ROW = re.compile(
    rf"(?P<name>\S+) +{NUMBER} (ns|us|ms|s ) +{NUMBER} (ns|us|ms|s ) +\d+(?P<rest>( \S+=\S+)*( .*)?)$")
PERCENT = re.compile(r"\S+_cv +\d+\.\d\d % +\d+\.\d\d % +\d+( \S+=-?\d+\.\d\d%)*( .*)?$")
BIG_O = re.compile(r"\S+_BigO +\d+\.\d\d \S+ +\d+\.\d\d \S+ *$")
RMS = re.compile(r"\S+_RMS +\d+ % +\d+ % *$")
SKIP = re.compile(r"\S+ +(ERROR OCCURRED|SKIPPED): '.*'$")


def is_golden(line):
    return any(p.match(line) for p in (ROW, PERCENT, BIG_O, RMS, SKIP))


def skeleton(line):
    """A row without its numbers: name, columns, units, names of counters, label."""
    line = re.sub(r"(?<=[ =])-?\d[\d.e+-]*(?:[kMGTPEZYmunp]i?)?", lambda m: "N" * len(m[0]), line)
    return re.sub(r" +N+| N", " N", re.sub(r"=N+", "=N", line)).rstrip()


def without_colour(text):
    return re.sub(r"\033\[[\d;]*m", "", text).rstrip()


@pytest.mark.parametrize("flags", [
    [], ["--benchmark_counters_tabular"], ["--benchmark_repetitions=2"], ["--benchmark_color=true"]])
def test_console(flags):
    flags = ["--benchmark_min_time=0.01", "--benchmark_filter=-estimated", *flags]
    ours = without_colour(run(program("benchmark_twin_ours"), *flags).stdout).splitlines()
    real = without_colour(run(real_twin(), *flags).stdout).splitlines()
    assert len(ours) == len(real)
    for a, b in zip(ours, real):
        if b.startswith(("---", "Benchmark")):
            assert a == b
        else:
            assert skeleton(a) == skeleton(b)
        if "tabular" not in flags[-1]:
            assert b.startswith(("---", "Benchmark")) or is_golden(a), a


@pytest.mark.parametrize("line", [
    "plain  1.0 ns 1.0 ns  12", "plain      1.00 ns          1.00 qs           12",
    "x_cv      1.0 %          1.00 %             2", "x   ERROR: 'y'"])
def test_the_golden_rows_can_fail(line):
    assert not is_golden(line)


# ---- all of it, under flags drawn together ----

FLAGS = (
    ["", "--benchmark_repetitions=1", "--benchmark_repetitions=2", "--benchmark_repetitions=3"],
    ["", "--benchmark_report_aggregates_only", "--benchmark_report_aggregates_only=false",
     "--benchmark_display_aggregates_only", "--benchmark_display_aggregates_only=1"],
    ["", "--benchmark_counters_tabular", "--benchmark_counters_tabular=no"],
    ["", "--benchmark_time_unit=us", "--benchmark_time_unit=ms", "--benchmark_time_unit=s", "--benchmark_time_unit=ns"],
    ["", "--benchmark_context=b=1,a=two", "--benchmark_context=x="],
    ["", "--benchmark_min_warmup_time=0.001"],
    ["", "--benchmark_color=true", "--benchmark_color=no", "--benchmark_color=auto"],
    ["--benchmark_filter=plain", "--benchmark_filter=args", "--benchmark_filter=counters|statistics$", "--benchmark_filter=paused",
     "--benchmark_filter=aggregates|batch", "--benchmark_filter=dense|range",
     "--benchmark_filter=-args|counters|statistics|error|estimated|threads|hooks|linear|square|nlogn|lambda"],
    ["--benchmark_format=console", "--benchmark_format=json", "--benchmark_format=csv"],
    ["--benchmark_out_format=json", "--benchmark_out_format=console", "--benchmark_out_format=csv"],
)


def drawn(seed):
    """Flags drawn by a seed; every other time through the environment."""
    rng = random.Random(seed)
    flags = [flag for flag in map(rng.choice, FLAGS) if flag] + ["--benchmark_min_time=0.001"]
    if seed % 2:
        return flags, {}
    named = [flag[2:].partition("=") for flag in flags]
    return [], {name.upper(): value if equals else "1" for name, equals, value in named}


def csv_shape(text):
    """The header, and of each row its name and which fields have something in them."""
    text = text[text.index("name,iterations"):]  # 1.7.1 puts the context in front, in a file
    header, *rows = csv.reader(io.StringIO(text))
    # unit of _cv: 1.7.1 says ns; errors: 1.7.1's rows end early
    blank = [header.index("time_unit")]
    return header, [(r[0], [bool(f) for i, f in enumerate(r) if not (r[0].endswith("_cv") and i in blank)])
                    for r in rows if "error" not in r[0]]


def console_shape(text):
    """Every line without its numbers; lines of what only 1.9.5 says left out."""
    lines = [line for line in text.replace("_twin_ours", "").replace("_twin_real", "").splitlines() if "ASLR" not in line]
    return [line if "---" in line or "Benchmark " in line else re.sub(r"\d{4}-\S+|[\d.]+ MHz|(?<=: )[\d., ]+$", "N", skeleton(line)) for line in lines]


def shape_of(text, kind):
    if "json" in kind:
        return [[(k, v) if not isinstance(v, float) and k != "iterations" else k for k, v in entry.items()]
                for entry in strict_json(text)["benchmarks"]]
    return csv_shape(text) if "csv" in kind else console_shape(text)


@pytest.mark.parametrize("seed", range(40))
def test_under_flags_drawn_together(tmp_path, seed):
    """What is printed, what goes to standard error and what is in the file, byte for byte but for numbers."""
    flags, environment = drawn(seed)
    told = []
    for twin in (program("benchmark_twin_ours"), real_twin()):
        done = run(twin, *flags, f"--benchmark_out={tmp_path / 'out'}", environment=environment)
        assert done.returncode == 0, done.stderr
        words = [*flags, *(f"{k.lower()}={v}" for k, v in environment.items())]
        display, file = (next(w for w in words if w.lstrip("-").startswith(f"benchmark_{kind}=")) for kind in ("format", "out_format"))
        told.append({"stdout": shape_of(done.stdout, display), "stderr": console_shape(done.stderr),
                     "file": shape_of((tmp_path / "out").read_text(), file)})
    for what in ("stdout", "stderr", "file"):
        assert told[0][what] == told[1][what], (flags, environment)


def test_context_goes_to_stderr():
    done = run(program("benchmark_twin_ours"), "--benchmark_filter=batch", "--benchmark_context=k=v")
    lines = done.stderr.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", lines[0])
    assert re.fullmatch(r"Running .*benchmark_twin_ours", lines[1])
    assert re.fullmatch(r"Run on \(\d+ X [\d.]+ MHz CPU s?\)", lines[2])
    assert "k: v" in lines
    assert "k: v" not in done.stdout
