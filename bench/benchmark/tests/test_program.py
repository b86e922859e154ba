"""What a program of ours does with flags, errors and rare benchmarks: exit statuses, messages, files."""
import csv
import io
import re
import shutil
import subprocess

import pytest

from support import program, run, run_to_json, strict_json


def odd(*flags, environment=None):
    return run(program("benchmark_odd"), "--benchmark_min_time=0.001s", *flags, environment=environment)


def csv_rows(text):
    return list(csv.DictReader(io.StringIO(text)))


# ---- Exit statuses: 0 well, 1 a benchmark reported an error, 2 usage ----

@pytest.mark.parametrize("flags, status, message", [
    (["--benchmark_filter=well"], 0, ""),
    (["--benchmark_filter=skips"], 0, ""),
    (["--benchmark_filter=fails"], 1, ""),
    (["--benchmark_filter=without_loop"], 1, ""),
    (["--benchmark_filter=leaves"], 1, ""),
    (["--benchmark_filter=one_fails"], 1, ""),
    (["--benchmark_filter=second_fails"], 1, ""),
    (["--benchmark_filter=NOPE"], 2, "no benchmark matches --benchmark_filter=NOPE"),
    (["--benchmark_filter=["], 2, "no extended regular expression"),
    (["--benchmark_filter=-."], 2, "no benchmark matches"),
    (["--benchmark_list_tests", "--benchmark_filter=NOPE"], 2, "no benchmark matches"),
    (["--benchmark_format=xml"], 2, "--benchmark_format=xml: expected {console|json|csv}"),
    (["--benchmark_out_format=xml"], 2, "--benchmark_out_format=xml"),
    (["--benchmark_min_time=abc"], 2, "--benchmark_min_time=abc: expected <int>x iterations, or <float>s"),
    (["--benchmark_min_time=100.5x"], 2, "--benchmark_min_time=100.5x"),
    (["--benchmark_min_time=0x"], 2, "--benchmark_min_time=0x"),
    (["--benchmark_min_time=-1s"], 2, "--benchmark_min_time=-1s"),
    (["--benchmark_min_time=nan"], 2, "--benchmark_min_time=nan"),
    (["--benchmark_min_time="], 2, "--benchmark_min_time="),
    (["--benchmark_min_warmup_time=x"], 2, "--benchmark_min_warmup_time=x"),
    (["--benchmark_repetitions=0"], 2, "--benchmark_repetitions=0: expected <count>"),
    (["--benchmark_repetitions=1e3"], 2, "--benchmark_repetitions=1e3"),
    (["--benchmark_time_unit=h"], 2, "--benchmark_time_unit=h: expected {ns|us|ms|s}"),
    (["--benchmark_context=k"], 2, "--benchmark_context=k: expected <key>=<value>"),
    (["--benchmark_context=k=a=b"], 2, "--benchmark_context"),
    (["--dashboard_format=x"], 2, "--dashboard_format=x: expected {googlecpp|customSmallerIsBetter|bmf}"),
    (["--benchmark_out=/no/such/folder/x"], 2, "invalid file name: '/no/such/folder/x'"),
    (["--benchmark_perf_counters=NOSUCH"], 2, "performance counter 'NOSUCH' is unknown"),
    (["--benchmark_unknown"], 2, "unrecognized command-line flag: --benchmark_unknown"),
    (["--benchmark_filter"], 2, "unrecognized command-line flag: --benchmark_filter"),
    (["stray"], 2, "unrecognized command-line flag: stray"),
    (["--help"], 0, ""),
])
def test_exit_status(flags, status, message):
    done = odd(*flags)
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    if status == 2:
        assert done.stdout == "", "nothing is reported where nothing ran"


def test_a_wrong_flag_leaves_no_file(tmp_path):
    out = tmp_path / "out.json"
    assert odd("--benchmark_filter=NOPE", f"--benchmark_out={out}").returncode == 2
    assert not out.exists()


def test_full_disk():
    done = odd("--benchmark_filter=well", "--benchmark_out=/dev/full")
    assert done.returncode == 2 and "could not write '/dev/full'" in done.stderr


def test_messages(tmp_path):
    report = run_to_json(program("benchmark_odd"), tmp_path / "o", "--benchmark_filter=fails|loop|leaves|skips", status=1)
    said = {e["name"]: e.get("error_message", e.get("skip_message")) for e in report["benchmarks"]}
    assert said["fails"] == 'backend "foo" is not built,\nsorry'
    assert said["without_loop"] == "the benchmark returned without running its loop"
    assert said["leaves"] == "the benchmark left its loop before the end"
    assert said["skips"] == "needs MTE hardware"
    assert said["one_fails/0/iterations:100/threads:3"] == "thread 1 before the loop"
    assert said["one_fails/1/iterations:100/threads:3"] == "thread 2 inside the loop"
    skips = next(e for e in report["benchmarks"] if e["name"] == "skips")
    assert list(skips)[8:] == ["skipped", "skip_message", "iterations", "real_time", "cpu_time", "time_unit"]


def test_aggregates_of_what_was_measured(tmp_path):
    report = run_to_json(program("benchmark_odd"), tmp_path / "o", "--benchmark_filter=second_fails", status=1)
    kinds = [e.get("aggregate_name", e.get("error_occurred")) for e in report["benchmarks"]]
    assert kinds == [None, True, None, "mean", "median", "stddev", "cv"]
    assert report["benchmarks"][3]["iterations"] == 2 and report["benchmarks"][3]["only_here"] == 5.0


# ---- Flags ----

def test_environment_and_command_line():
    listed = odd("--benchmark_list_tests", environment={"BENCHMARK_FILTER": "skips"})
    assert listed.stdout == "skips\n"
    listed = odd("--benchmark_filter=well", environment={"BENCHMARK_FILTER": "skips", "BENCHMARK_LIST_TESTS": "1"})
    assert listed.stdout == "well\n", "the command line wins; DISABLED_well is not there"
    done = odd(environment={"BENCHMARK_FORMAT": "xml"})
    assert done.returncode == 2 and "BENCHMARK_FORMAT=xml" in done.stderr


@pytest.mark.parametrize("value, truth", [
    ("", True), ("=", True), ("=true", True), ("=1", True), ("=t", True), ("=yes", True), ("=on", True),
    ("=0", False), ("=f", False), ("=F", False), ("=n", False), ("=N", False), ("=no", False),
    ("=off", False), ("=False", False), ("=-", False), ("=2", True)])
def test_truth(value, truth):
    done = odd(f"--benchmark_list_tests{value}", "--benchmark_filter=skips")
    assert (done.stdout == "skips\n") == truth


def test_list_in_three_formats():
    flags = ["--benchmark_list_tests", "--benchmark_filter=fails$|skips"]
    assert odd(*flags).stdout == "fails\nskips\n"
    assert odd(*flags, "--benchmark_format=csv").stdout == 'name\n"fails"\n"skips"\n'
    text = odd(*flags, "--benchmark_format=json").stdout
    assert strict_json(text) == {"benchmarks": [{"name": "fails"}, {"name": "skips"}]}
    assert text.startswith('{\n  "benchmarks": [\n    {\n      "name": "fails"\n    },\n')


def test_min_time_in_iterations(tmp_path):
    done = odd("--benchmark_min_time=123x", "--benchmark_filter=well", "--benchmark_format=json")
    entry = strict_json(done.stdout)["benchmarks"][0]
    assert entry["iterations"] == 123 and entry["name"] == "well"


def test_dry_run():
    done = odd("--benchmark_dry_run", "--benchmark_filter=well|not_finite", "--benchmark_format=json", "--benchmark_repetitions=5")
    report = strict_json(done.stdout)
    assert report["context"]["dry_run"] == "true"
    assert [e["iterations"] for e in report["benchmarks"]] == [1, 1]


def test_verbosity():
    assert "LOG(2): Running well for 1\n" in odd("--v=2", "--benchmark_filter=well").stderr
    assert "LOG" not in odd("--benchmark_filter=well", environment={"V": "abc"}).stderr


def test_own_flags_and_dynamic_benchmarks():
    done = odd("--backend=foo", "--benchmark_filter=dynamic", "--backend=bar", "--benchmark_format=csv")
    assert done.returncode == 0
    assert [(r["name"], r["label"]) for r in csv_rows(done.stdout)] == [
        ("dynamic/backend:foo", "--backend=foo"), ("dynamic/backend:bar", "--backend=bar")]


def test_random_interleaving_is_seeded_and_recorded():
    flags = ["--benchmark_enable_random_interleaving", "--benchmark_repetitions=5",
             "--benchmark_min_time=10x", "--benchmark_filter=^(well|loud|threads_rate)", "--benchmark_format=json"]
    contexts = [strict_json(odd(*flags, f"--benchmark_interleaving_seed={seed}").stdout)["context"]
                for seed in (7, 7, 8)]
    orders = [c["interleaving_order"] for c in contexts]
    assert orders[0] == orders[1] != orders[2]
    names = len(odd("--benchmark_list_tests", flags[3]).stdout.split())
    assert sorted(map(int, orders[0].split())) == sorted(list(range(names)) * 5)
    assert contexts[0]["interleaving_seed"] == "7"
    unseeded = strict_json(odd(*flags).stdout)["context"]
    assert int(unseeded["interleaving_seed"]) > 0


def test_perf_counters():
    done = odd("--benchmark_perf_counters=PAGE-FAULTS,CYCLES", "--benchmark_filter=well", "--benchmark_format=json")
    if done.returncode == 2:
        assert re.search(r"performance counter '(PAGE-FAULTS|CYCLES)' is not supported here: ", done.stderr)
    else:
        assert {"CYCLES", "PAGE-FAULTS"} <= set(strict_json(done.stdout)["benchmarks"][0])


# ---- Reports ----

def test_not_finite_counters_are_left_out(tmp_path):
    done = odd("--benchmark_filter=not_finite", "--benchmark_format=json")
    entries = strict_json(done.stdout)["benchmarks"]
    assert len(entries) == 6
    for entry in entries:
        assert "finite" in entry and not {"nan", "infinite", "inverse_of_zero"} & set(entry)
        assert entry["label"] == 'bad � utf-8, tab\t, "quote"'
    with pytest.raises(ValueError):
        strict_json('{"x": NaN}')


def test_csv_header_is_the_union_of_counters():
    done = odd("--benchmark_filter=^(well|fails|skips|not_finite|second_fails)", "--benchmark_format=csv")
    assert done.stdout.splitlines()[0] == (
        'name,iterations,real_time,cpu_time,time_unit,bytes_per_second,items_per_second,label,error_occurred,error_message,'
        '"finite","only_here"')
    rows = {r["name"]: r for r in csv_rows(done.stdout)}
    assert rows["well"]["finite"] == "" and float(rows["well"]["real_time"]) > 0
    assert rows["fails"]["error_occurred"] == "true" and "sorry" in rows["fails"]["error_message"]
    assert rows["fails"]["iterations"] == rows["fails"]["real_time"] == ""
    assert rows["skips"]["error_occurred"] == "false" and rows["skips"]["error_message"] == "needs MTE hardware"
    assert rows["second_fails/iterations:4/repeats:3_mean"]["only_here"] == "5"
    assert rows["second_fails/iterations:4/repeats:3_cv"]["time_unit"] == ""
    assert all(None not in r and None not in r.values() for r in rows.values()), "ragged rows"


def test_rates_over_threads_are_global():
    """2 threads, 4 iterations each of 0.5 s: 200 items in 2 s. Time is per thread, not divided (1.9.5)."""
    done = odd("--benchmark_filter=threads_rate", "--benchmark_format=json")
    entry = strict_json(done.stdout)["benchmarks"][0]
    assert entry["iterations"] == 8 and entry["real_time"] == pytest.approx(0.5e9)
    assert entry["items_per_second"] == pytest.approx(100) and entry["sum"] == 14


def test_memory_manager():
    done = odd("--memory", "--benchmark_filter=threads_rate", "--benchmark_format=json")
    entry = strict_json(done.stdout)["benchmarks"][0]
    assert entry["allocs_per_iter"] == 8.0 and entry["max_bytes_used"] == 4096
    assert entry["net_heap_growth"] == 0 and "total_allocated_bytes" not in entry
    assert "max_bytes_used" not in odd("--benchmark_filter=threads_rate", "--benchmark_format=json").stdout


def test_colour():
    plain = odd("--benchmark_filter=well|fails|skips")
    assert "\033" not in plain.stdout, "no terminal, no colour"
    coloured = odd("--benchmark_filter=well|fails", "--benchmark_color=true").stdout
    assert re.search(r"^(\033\[m)?\033\[0;32mwell +\033\[m\033\[0;33m.*\033\[m\033\[0;36m +\d+\033\[m", coloured, re.MULTILINE)
    assert "\033[0;31mERROR OCCURRED: 'backend" in coloured


def test_the_library_does_not_call_malloc_while_measuring():
    done = odd("--benchmark_filter=^(quiet|loud)$", "--benchmark_format=json", "--benchmark_repetitions=3", "--benchmark_out=/dev/null")
    if done.returncode == 2 and "no benchmark matches" in done.stderr:
        pytest.skip("a build with sanitizers, whose malloc is not ours to count: build another preset")
    entries = [e for e in strict_json(done.stdout)["benchmarks"] if e["run_type"] == "iteration"]
    quiet = [e for e in entries if e["name"] == "quiet"]
    assert len(quiet) == 3 and all(e["counter_39"] == 39 for e in quiet)
    assert [e["mallocs_in_loop"] for e in quiet] == [0, 0, 0]
    assert [e["mallocs_since_first_run"] for e in quiet] == [0, 0, 0]
    assert [e["mallocs_per_iteration"] for e in entries if e["name"] == "loud"] == pytest.approx([1] * 3)


def test_the_empty_loop_is_a_loop():
    """In the machine code of a loop with nothing in it, a jump goes back."""
    if not shutil.which("objdump"):
        pytest.skip("objdump is absent: apt-get install binutils")
    overhead = program("overhead_ours")
    for function in ("empty", "empty_iterate"):
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", f"--disassemble={function}", overhead],
                              capture_output=True, text=True, check=True).stdout
        if re.search(r"__(a|t|ub)san_", code):
            pytest.skip("a sanitizer's calls stand in the loop: build another preset")
        assert jumps_back(code, function), code


def jumps_back(code, function):
    """Is there a loop without a call in it? (The way back from the library's slow path is none.)"""
    lines = re.findall(r"^ *([0-9a-f]+):\s+(.*)$", code, re.MULTILINE)
    for i, (address, instruction) in enumerate(lines):
        jump = re.match(rf"(?:j|b|cb)\S*\s+.*?([0-9a-f]+) <{function}\+", instruction)
        if jump and int(jump[1], 16) <= int(address, 16):
            body = [text for at, text in lines[:i] if int(at, 16) >= int(jump[1], 16)]
            if not any(text.startswith(("call", "bl ")) for text in body):
                return True
    return False


def test_jumps_back_can_fail():
    assert not jumps_back("  10:\tjne    20 <empty+0x10>\n  14:\tret\n", "empty")
    assert not jumps_back("  10:\tcall   90 <slow>\n  20:\tjne    10 <empty+0x10>\n", "empty")
    assert jumps_back("  10:\tdec    %rax\n  20:\tjne    10 <empty+0x10>\n", "empty")
