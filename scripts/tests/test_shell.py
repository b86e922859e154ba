"""setup, run, test and check from outside, and the counting of test reports."""

import os
import shutil
import subprocess

import pytest
from conftest import ROOT
from heapgauge import doctor

import count


def script(name, *words, **environment):
    return subprocess.run([ROOT / "scripts" / name, *words], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **environment})


@pytest.mark.parametrize("name", ["setup", "run", "test", "check", "publish"])
def test_help_and_unknown_words(name):
    shown = script(name, "--help")
    assert shown.returncode == 0 and f"scripts/{name}" in shown.stdout and "Exit status" in shown.stdout
    wrong = script(name, "--nonsense")
    assert wrong.returncode == 2 and "--nonsense" in wrong.stderr and "--help" in wrong.stderr


@pytest.fixture
def bare(tmp_path):
    """A PATH on which no package is installed, and apt-get writes down what it is asked."""
    (tmp_path / "dpkg-query").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "apt-get").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit ${{APT_STATUS:-0}}\n')
    for name in ("dpkg-query", "apt-get"):
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_no_install_refuses_with_the_command_to_type(bare):
    done = script("setup", "--no-install", "run", PATH=f"{bare}:{os.environ['PATH']}")
    assert done.returncode == 2 and not (bare / "asked").exists()
    assert "apt-get install -y --no-install-recommends" in done.stderr.splitlines()[-1]
    assert "hyperfine" in done.stderr and "runs the cells of a round" in done.stderr  # what and why


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run as root")
def test_setup_says_what_and_why_before_it_installs(bare):
    done = script("setup", "build", PATH=f"{bare}:{os.environ['PATH']}")
    assert done.returncode == 0 and "traces are Zstandard frames" in done.stderr
    asked = (bare / "asked").read_text()
    assert "install -y" in asked and "libzstd-dev" in asked and "hyperfine" not in asked
    failed = script("setup", "build", PATH=f"{bare}:{os.environ['PATH']}", APT_STATUS="100")
    assert failed.returncode == 2


def test_setup_is_quick_and_silent_to_apt_when_all_is_there(bare):
    (bare / "dpkg-query").write_text("#!/bin/sh\nprintf installed\n")
    done = script("setup", "all", PATH=f"{bare}:{os.environ['PATH']}")
    assert done.returncode == 0 and not (bare / "asked").exists()


def test_the_table_of_packages_has_a_reason_for_each():
    rows = [line.split("\t") for line in (ROOT / "scripts/packages.tsv").read_text().splitlines() if line[0] != "#"]
    assert all(len(row) == 3 and all(row) for row in rows)
    for group in {row[0] for row in rows}:
        assert "unknown" not in script("setup", "--no-install", group).stderr, group
    assert "unknown word 'tests'" in script("setup", "--no-install", "tests").stderr
    listed = script("setup", "--list").stdout.splitlines()
    assert len(listed) == len(rows) + 2 and all(line.startswith("|") and line.endswith("|") for line in listed)


def test_run_without_a_run_to_resume(tmp_path):
    """In a copy that is not built: it gets as far as the packages."""
    done = script("run", "--name=")
    assert done.returncode == 2 and "unknown word" in done.stderr


# ---- counting ----

PYTEST = """<testsuites><testsuite name="scripts"><testcase name="a"/><testcase name="b"><failure>x</failure></testcase>
<testcase name="c"><skipped message="needs root: run as root"/></testcase></testsuite></testsuites>"""
CTEST = """<testsuite name="x"><testcase name="d" status="run"/><testcase name="e" status="fail"><failure/></testcase>
<testcase name="f" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>
<system-out>1..3
SKIP: needs tcmalloc: apt-get install libtcmalloc-minimal4
</system-out></testcase><testcase name="g" status="disabled"/></testsuite>"""


def counted(tmp_path, capsys, reports, suites="", broken=""):
    paths = []
    for name, text in reports.items():
        (tmp_path / name).write_text(text)
        paths.append(str(tmp_path / name))
    status = count.main([f"--suites={suites}", f"--broken={broken}", *paths])
    return status, capsys.readouterr().out


def test_counts_both_dialects(tmp_path, capsys):
    status, out = counted(tmp_path, capsys, {"pytest-scripts.xml": PYTEST, "ctest-dev.xml": CTEST})
    assert status == 1 and out.splitlines()[-1] == "2 passed, 2 failed, 3 skipped"
    assert "skipped: ctest-dev: f: needs tcmalloc: apt-get install libtcmalloc-minimal4" in out
    assert "skipped: pytest-scripts: c: needs root: run as root" in out
    assert "failed:  ctest-dev: e" in out


GOOD = '<testsuite><testcase name="a"/></testsuite>'


@pytest.mark.parametrize("reports, suites, broken, status", [
    ({"ctest-dev.xml": GOOD}, "dev", "", 0),
    ({}, "", "", 1),                                          # nothing ran
    ({"ctest-dev.xml": GOOD}, "dev asan", "", 1),             # a suite is missing
    ({"ctest-dev.xml": GOOD}, "dev", "build tsan", 1),        # a build failed
    ({"ctest-dev.xml": "<testsuite/>"}, "", "", 1),           # an empty suite
    ({"ctest-dev.xml": GOOD[:20]}, "dev", "", 1),             # a report that was cut
    ({"a-dev.xml": '<testsuite><testcase name="a" status="notrun"/></testsuite>'}, "dev", "", 1),  # all skipped
])
def test_what_did_not_run_is_no_success(tmp_path, capsys, reports, suites, broken, status):
    assert counted(tmp_path, capsys, reports, suites, broken)[0] == status


# ---- doctor ----

MEMINFO = "MemAvailable: {} kB\nSwapTotal: 4000000 kB\nSwapFree: {} kB\n"
PROBES = [  # check, what it reads, an answer that is well, one that is not, what the remedy names
    ("governor", "governor", "performance", "powersave", "cpupower"),
    ("turbo", "turbo", "off", "on", "no_turbo"),
    ("smt", "smt", "off", "on", "smt/control"),
    ("thp", "chosen", "madvise", "always", "transparent_hugepage"),
    ("timer", "read_text", "tsc", "hpet", "clocksource"),
    ("ksm", "read_text", "0", "1", "ksm/run"),
    ("quota", "cgroup_value", "max 100000", "50000 100000", "container"),
    ("swap", "read_text", MEMINFO.format(8 << 20, 4000000), MEMINFO.format(8 << 20, 1000000), "swapoff"),
    ("swap", "read_text", MEMINFO.format(8 << 20, 4000000), MEMINFO.format(1000, 4000000), "swapoff"),
    ("build", "build_facts", {"build_type": "RelWithDebInfo"}, {"build_type": "Debug"}, "preset release"),
]


@pytest.mark.parametrize("check, reads, well, wrong, remedy", PROBES)
def test_doctor_warns_of_what_is_wrong_and_tells_the_remedy(monkeypatch, check, reads, well, wrong, remedy):
    monkeypatch.setenv("HEAPGAUGE", "heapgauge")
    for answer, state in ((well, "ok"), (wrong, "warn")):
        monkeypatch.setattr(doctor.machine, reads, lambda *_, a=answer: a)
        found = getattr(doctor, f"check_{check}")()
        assert found["state"] == state and (remedy in found["mend"]) == (state == "warn"), found


@pytest.mark.parametrize("check, reads", [("governor", "governor"), ("turbo", "turbo"), ("smt", "smt"), ("thp", "chosen"),
                                          ("aslr", "aslr"), ("timer", "read_text")])
def test_doctor_says_unknown_of_what_it_cannot_see(monkeypatch, check, reads):
    monkeypatch.setattr(doctor.machine, reads, lambda *_: None)
    assert getattr(doctor, f"check_{check}")()["state"] == "unknown"


def test_doctor_on_address_randomisation_counters_and_hyperfine(monkeypatch):
    monkeypatch.setattr(doctor.machine, "aslr", lambda: "on")
    assert doctor.check_aslr()["state"] == "ok"  # many processes average over layouts
    assert doctor.check_counters()["state"] in ("ok", "unknown")
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    monkeypatch.setattr(doctor.machine, "output_of", lambda *_: None)
    assert doctor.check_hyperfine()["state"] == "warn"


def test_doctor_sees_stolen_time_and_load(monkeypatch):
    ticks = iter((100, 0, 130, 1000))  # 30 of 1000 were stolen
    monkeypatch.setattr(doctor.machine, "steal_ticks", lambda: next(ticks))
    monkeypatch.setattr(doctor.machine, "total_ticks", lambda: next(ticks))
    monkeypatch.setattr(doctor.machine, "load_average", lambda: [3.0, 2.0, 1.0])
    found = {f["check"]: f for f in doctor.check_company(0.01)}
    assert found["stolen time"]["state"] == found["load"]["state"] == "warn" and found["stolen time"]["value"].startswith("3.0%")


def test_doctor_sees_a_busy_neighbour():
    spinner = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    try:
        found = {f["check"]: f for f in doctor.check_company(0.5)}
    finally:
        spinner.kill()
        spinner.wait()
    assert found["other processes"]["state"] == "warn" and "sh" in found["other processes"]["value"]


# ---- check: each part is seen to fail ----

@pytest.fixture
def copy(tmp_path):
    """A small repository with our scripts in it."""
    for name in ("check", "lib.sh", "setup", "packages.tsv"):
        (tmp_path / "scripts").mkdir(exist_ok=True)
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts" / name)
    shutil.copy(ROOT / ".clang-format", tmp_path)
    for folder in ("core/include/heapgauge", "backends/include/heapgauge", "bench", "fuzz"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "core/include/heapgauge/layout.h").write_text("int layout;\n")
    (tmp_path / "backends/include/heapgauge/backend.h").write_text('#include "heapgauge/layout.h"\n')
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


def checked(copy, name):
    return subprocess.run([copy / "scripts/check", "--no-install", name], capture_output=True, text=True,
                          cwd=copy, timeout=120)


needs_linters = pytest.mark.skipif(
    not all(map(shutil.which, ("clang-format", "clang-tidy", "shellcheck", "pyflakes3"))),
    reason="needs the linters: scripts/setup check")


@needs_linters
@pytest.mark.parametrize("name, path, text", [
    ("format", "core/bad.c", "int   a ;\n"),
    ("shell", "scripts/bad.sh", "cat $1\n"),
    ("python", "scripts/bad.py", "import os\n"),
    ("python", "scripts/bad.py", "def f(:\n"),
    ("includes", "core/bad.c", '#include "heapgauge/backend.h"\n'),
    ("includes", "core/bad.c", '#include "../backends/src/x.h"\n'),
    ("house", "extra/file.txt", "x\n"),
    ("house", "core/bad.c", "// see /ho" "me/someone/file\n"),
])
def test_check_fails_on_bad_files_only(copy, name, path, text):
    good = checked(copy, name)
    assert good.returncode == 0, good.stderr
    (copy / path).parent.mkdir(exist_ok=True)
    (copy / path).write_text(text)
    subprocess.run(["git", "add", "-A"], cwd=copy, check=True)
    bad = checked(copy, name)
    assert bad.returncode == 1 and f"to mend: {name}" in bad.stderr
