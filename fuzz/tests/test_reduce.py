"""A finding becomes at most 12 operations, a trace with the same verdict each time, and a C file that any
compiler builds and that fails without Heapgauge."""

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
    assert re.search(r"-libc-C30-1\.hgt$", found.name)
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
               "--seed=5", "-o", tmp_path)
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
