"""build.sh with the engine's variables set as the engine sets them, then every target on its seeds."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ["layout", "libc", "threads", "environment", "native", "first", "parallel", "core_inside", "trace_reader"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    for tool in ("clang", "clang++", "zip", "unzip"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    folder = tmp_path_factory.mktemp("cfl")
    (folder / "src").mkdir()
    (folder / "src" / "heapgauge").symlink_to(ROOT)
    flags = "-O1 -fno-omit-frame-pointer -gline-tables-only -fsanitize=address -fsanitize=fuzzer-no-link"
    environment = dict(os.environ, SRC=str(folder / "src"), OUT=str(folder / "out"), WORK=str(folder / "work"),
                       CC="clang", CXX="clang++", CFLAGS=flags, CXXFLAGS=flags, SANITIZER="address",
                       FUZZING_ENGINE="libfuzzer", LIB_FUZZING_ENGINE="-fsanitize=fuzzer",
                       ARCHITECTURE="x86_64", FUZZING_LANGUAGE="c")
    done = subprocess.run(["bash", "-eu", str(ROOT / ".clusterfuzzlite" / "build.sh")], env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.mark.parametrize("target", TARGETS)
def test_target_replays_its_seeds(out, target, tmp_path):
    name = f"fuzz_{target}"
    for suffix in ("_seed_corpus.zip", ".dict", ".options"):
        assert (out / f"{name}{suffix}").stat().st_size > 0
    subprocess.run(["unzip", "-q", str(out / f"{name}_seed_corpus.zip"), "-d", str(tmp_path / "seeds")], check=True)
    done = subprocess.run([str(out / name), "-runs=200", "-seed=1337", f"-dict={out / name}.dict",
                           str(tmp_path / "seeds")], cwd=tmp_path, capture_output=True, text=True,
                          env=dict(os.environ, ASAN_OPTIONS="allocator_may_return_null=1:detect_leaks=0"))
    assert done.returncode == 0, done.stderr[-3000:]
