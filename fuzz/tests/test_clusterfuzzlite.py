"""build.sh with the engine's variables, every target by the engine's rules; and that the rules can fail."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from heapgauge import clusterfuzzlite as cfl
from heapgauge.faultscore import program

BUILDS = ["address", "coverage", "undefined", "memory"] if os.environ.get("HG_LONG") else ["address"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if cfl.missing_tools():
        pytest.skip(f"not installed: {', '.join(cfl.missing_tools())}; scripts/setup fuzz")
    return tmp_path_factory.mktemp("cfl")


@pytest.fixture(scope="module")
def out(folder):
    """The build with AddressSanitizer, held against every rule."""
    return cfl.check_build(folder / "address", "address")


def test_address(out):
    assert len(cfl.find_targets(out)) == len(cfl.TARGETS)


@pytest.mark.parametrize("sanitizer", [name for name in BUILDS if name != "address"])
def test_other_builds(folder, sanitizer):
    cfl.check_build(folder / sanitizer, sanitizer)


def test_a_missing_target_is_seen(out, tmp_path):
    with pytest.raises(cfl.Broken, match="targets in OUT"):
        cfl.check_names(tmp_path, "address")


def test_a_target_that_is_not_instrumented_is_seen():
    with pytest.raises(cfl.Broken, match="not instrumented"):
        cfl.check_instrumented(Path("/bin/true"), "address")


def test_a_damaged_corpus_is_seen(out, tmp_path):
    for path in out.glob("fuzz_libc*"):
        shutil.copy(path, tmp_path)
    (tmp_path / "fuzz_libc_seed_corpus.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(cfl.Broken, match="empty"):
        cfl.check_files(tmp_path / "fuzz_libc")


def test_writing_outside_is_seen(out, tmp_path):
    if not shutil.which("strace"):
        pytest.skip("strace is not installed; scripts/setup fuzz")
    inside = tmp_path / "inside"
    inside.mkdir()
    script = tmp_path / "writes"
    script.write_text(f"#!/bin/sh\n: > {tmp_path}/outside\n")
    script.chmod(0o755)
    with pytest.raises(cfl.Broken, match="writes outside"):
        cfl.check_writes(script, inside)


def test_libfuzzer_is_an_engine_of_the_command(out, tmp_path):
    """`heapgauge fuzz --engine=libfuzzer` with these programs: a fault is found, reduced and listed."""
    environment = dict(os.environ, HEAPGAUGE_FUZZ_BIN=str(out), ASAN_OPTIONS="allocator_may_return_null=1")
    words = [program(), "fuzz", "--engine=libfuzzer", "--target=libc", "--time=5", "--seed=1", "-o", str(tmp_path)]
    done = subprocess.run([*words, "--backend=fault-calloc-tail:core"], capture_output=True, text=True,
                          env=environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert " C17" in done.stdout
    assert list(tmp_path.glob("*-libc-C17-*.c"))
    done = subprocess.run([*words, "--backend=core", "--inputs=500"], capture_output=True, text=True,
                          env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_such_engine_program(tmp_path):
    done = subprocess.run([program(), "fuzz", "--engine=libfuzzer", "--backend=core", "--target=libc",
                           "-o", str(tmp_path)], capture_output=True, text=True,
                          env=dict(os.environ, HEAPGAUGE_FUZZ_BIN=str(tmp_path)))
    assert done.returncode == 2 and "cmake --workflow --preset fuzz" in done.stdout
