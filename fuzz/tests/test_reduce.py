"""A finding becomes at most 12 operations, a trace with the same verdict each time, and a C file that any
compiler builds and that fails without Heapgauge."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from heapgauge.faultscore import program

HEAPGAUGE = program()
BROKEN = os.environ.get("HEAPGAUGE_BROKEN", "")
OPERATIONS_MAX = 12


def run(*words, **options):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("found")
    done = run(HEAPGAUGE, "fuzz", f"--backend={BROKEN}", "--target=libc", "--time=10", "--seed=3", "-o", folder)
    assert done.returncode == 1, done.stdout + done.stderr
    traces = sorted(folder.glob("*.hgt"))
    assert len(traces) == 1, done.stdout
    return traces[0]


def test_a_users_allocator_is_judged(found):
    assert re.search(r"-libc-C30-[0-9a-f]{6}\.hgt$", found.name)
    lines = [line for line in found.with_suffix(".txt").read_text().splitlines() if line[0] != "#"]
    assert len(lines) <= 3, lines
    assert "aligned" in lines[-1] or "memalign" in lines[-1]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_its_c_file_fails_alone(found, tmp_path, compiler, level):
    if run("sh", "-c", f"command -v {compiler}").returncode:
        pytest.skip(f"{compiler} is not installed")
    program_path = tmp_path / "repro"
    built = run(compiler, level, "-fno-builtin", "-pthread", found.with_suffix(".c"), "-o", program_path, "-ldl")
    assert built.returncode == 0, built.stderr
    broken = run(program_path, BROKEN)
    assert broken.returncode == 1 and "alignment" in broken.stdout, broken.stdout + broken.stderr
    assert run(program_path).returncode == 0, "the system's malloc keeps the promise"


def test_the_verdict_is_the_same_100_times(found):
    done = run(HEAPGAUGE, "check", f"--backend={BROKEN}", "--single", "--times=100", found)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "100 times of 100" in done.stdout


@pytest.mark.parametrize("fault, target", [("double-insert", "libc"), ("calloc-dirty", "libc"),
                                           ("layout-realloc-align", "layout"), ("realloc-words", "libc"),
                                           ("remote-free-twice", "threads"), ("shortage-aborts", "environment")])
def test_faults_reduce(fault, target, tmp_path):
    done = run(HEAPGAUGE, "fuzz", f"--backend=fault-{fault}:core", f"--target={target}", "--time=10",
               "--seed=7", "-o", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    texts = list(tmp_path.glob("*.txt"))
    assert texts, done.stdout
    lines = [line for line in texts[0].read_text().splitlines() if not line.startswith("#")]
    limit = 64 if fault == "double-insert" else OPERATIONS_MAX  # 50 frees of its class are its trigger
    assert len(lines) <= limit * 2 if fault == "double-insert" else len(lines) <= limit, lines


def test_reduce_command(found, tmp_path):
    done = run(HEAPGAUGE, "reduce", f"--backend={BROKEN}", "-o", tmp_path / "small", found)
    assert done.returncode == 1, done.stdout + done.stderr
    assert {p.suffix for p in tmp_path.iterdir()} == {".hgt", ".txt", ".c"}


def test_reduce_of_a_clean_trace(found):
    assert run(HEAPGAUGE, "reduce", "--backend=system", found).returncode == 0


@pytest.mark.parametrize("words", [["fuzz", "--target=libcc"], ["fuzz", "--backend=nosuch"], ["fuzz", "--time=x"],
                                   ["reduce"], ["reduce", "/nonexistent"], ["fuzz", "--oracle-fault=x"]])
def test_usage(words, tmp_path):
    done = run(HEAPGAUGE, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert done.stderr


def test_a_killed_campaign_keeps_what_it_has(tmp_path):
    child = subprocess.Popen([HEAPGAUGE, "fuzz", "--backend=core", "--target=libc", "--time=60", "-o", str(tmp_path)],
                             stdout=subprocess.DEVNULL)
    corpus = Path(tmp_path) / "corpus" / "libc"
    for _ in range(100):
        try:
            child.wait(0.1)
        except subprocess.TimeoutExpired:
            pass
        if corpus.exists() and any(corpus.iterdir()):
            break
    child.kill()
    child.wait()
    assert any(corpus.iterdir())


def test_a_campaign_killed_while_it_reduces_keeps_the_finding(tmp_path):
    """The finding is on disk before its reduction begins, and a campaign that goes on there replaces it."""
    words = [HEAPGAUGE, "fuzz", "--backend=fault-double-insert:core", "--target=libc", "--seed=5", "-o",
             str(tmp_path)]
    child = subprocess.Popen([*words, "--time=60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kept = []
    for _ in range(2000):
        kept = list(tmp_path.glob("*.hgt"))
        if kept:
            break
        try:
            child.wait(0.01)
        except subprocess.TimeoutExpired:
            pass
    child.kill()
    child.wait()
    assert kept
    done = run(*words, "--time=20")
    assert done.returncode == 1, done.stdout
    assert [path for path in tmp_path.glob("*.hgt") if "unreduced" not in path.name]
    assert list((tmp_path / "corpus" / "libc").iterdir())


def test_findings_of_the_same_kind_are_one(tmp_path):
    done = run(HEAPGAUGE, "fuzz", "--backend=fault-align-mask:core", "--target=libc", "--time=8", "--seed=2",
               "--keep-going", f"--json={tmp_path}/out.json", "-o", tmp_path)
    assert done.returncode == 1
    findings = json.loads((tmp_path / "out.json").read_text())["cells"][0]["findings"]
    assert len({(finding["item"], finding["shape"]) for finding in findings}) == len(findings)
    assert sum(finding["times"] for finding in findings) > len(findings)


def test_a_full_disk_is_one_line_and_the_finding_is_still_told():
    if run("unshare", "-m", "true").returncode or os.geteuid() != 0:
        pytest.skip("needs root, and unshare -m to work (in a bare chroot it does not), to mount a small file system")
    script = ("mount -t tmpfs -o size=16k none /mnt && "
              f"'{HEAPGAUGE}' fuzz --backend=fault-align-mask:core --target=libc --time=2 --seed=1 -o /mnt/x")
    done = run("unshare", "-m", "sh", "-c", script)
    if "mount" in done.stderr:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "No space left on device" in done.stderr and len(done.stderr.splitlines()) <= 4, done.stderr
    assert "C30" in done.stdout and "aligned" in done.stdout + done.stderr


@pytest.mark.parametrize("target", ["core_inside", "trace_reader", "differential"])
def test_reduce_reads_inputs_of_every_target(target, tmp_path):
    """A sound input of a target that plays no stream: nothing to reduce, and it says so."""
    seed = next((Path(__file__).parents[1] / "corpus" / target).iterdir())
    done = run(HEAPGAUGE, "reduce", f"--target={target}", seed, cwd=tmp_path)
    assert done.returncode == 0 and "break nothing" in done.stdout, done.stdout + done.stderr
