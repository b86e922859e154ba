"""AFL++'s side: its mutator library loads by itself, keeps whole records; afl-fuzz, where it is installed, finds a
fault with it and the plain replay program."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

LIBRARY, REPLAY = os.environ.get("HEAPGAUGE_AFL", ""), os.environ.get("HEAPGAUGE_REPLAY", "")
SEEDS = Path(__file__).parents[1] / "corpus" / "libc"
HEADER, RECORD = 8, 8


def test_the_library_needs_nothing_and_mutates():
    library = ctypes.CDLL(LIBRARY, mode=os.RTLD_NOW)
    library.afl_custom_init.restype = ctypes.c_void_p
    library.afl_custom_fuzz.restype = ctypes.c_size_t
    mutator = ctypes.c_void_p(library.afl_custom_init(None, 7))
    seed = next(SEEDS.iterdir()).read_bytes()
    seen = set()
    for _ in range(200):
        out = ctypes.c_void_p()
        size = library.afl_custom_fuzz(mutator, ctypes.create_string_buffer(seed, len(seed)),
                                       ctypes.c_size_t(len(seed)), ctypes.byref(out), None, ctypes.c_size_t(0),
                                       ctypes.c_size_t(4096))
        assert HEADER <= size <= 4096 and (size - HEADER) % RECORD == 0
        seen.add(ctypes.string_at(out, size))
    library.afl_custom_deinit(mutator)
    assert len(seen) > 150


def test_afl_fuzz_finds_a_fault(tmp_path):
    if not shutil.which("afl-fuzz"):
        pytest.skip("afl-fuzz is not installed: apt-get install afl++")
    seeds = tmp_path / "in"
    seeds.mkdir()
    environment = dict(os.environ, AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES="1", AFL_SKIP_CPUFREQ="1", AFL_NO_UI="1",
                       AFL_NO_AFFINITY="1", AFL_CUSTOM_MUTATOR_LIBRARY=LIBRARY, AFL_CUSTOM_MUTATOR_ONLY="1",
                       AFL_BENCH_UNTIL_CRASH="1", HEAPGAUGE_BACKEND="fault-realloc-words:core")
    for name in ("ASAN_OPTIONS", "TSAN_OPTIONS"):  # AFL++ ends at once where they are set otherwise than it wants
        environment.pop(name, None)
    # AFL++ refuses a seed that breaks at once; most of the corpus does not show this fault.
    silent = (seed for seed in sorted(SEEDS.iterdir())
              if subprocess.run([REPLAY, seed], env=environment, capture_output=True, check=False).returncode == 0)
    shutil.copy(next(silent), seeds)
    done = subprocess.run(["afl-fuzz", "-n", "-V", "20", "-i", seeds, "-o", tmp_path / "out", "--", REPLAY], env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    crashes = [path for path in (tmp_path / "out").rglob("crashes*/id*")]
    assert crashes, done.stdout[-2000:]
    again = subprocess.run([REPLAY, crashes[0]], env=environment, capture_output=True, text=True, check=False)
    assert again.returncode != 0 and " breaks C22" in again.stderr
