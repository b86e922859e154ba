"""What the tests share: where the programs are, how to run one, how to read its output."""
import json
import os
import subprocess
from pathlib import Path

import pytest

BIN = Path(os.environ.get("HG_TEST_BIN", "."))
FLAGS = ("BENCHMARK_", "DASHBOARD_")


def program(name, how_to_get=""):
    """Path of a test program; skips the test where it was not built."""
    path = BIN / name
    if not path.exists():
        pytest.skip(f"{name} is not built: {how_to_get}")
    return path


def real_twin():
    return program("benchmark_twin_real", "apt-get install libbenchmark-dev and configure again (never built with sanitizers)")


def run(path, *flags, environment=None):
    """Runs a program with none of our variables in its environment but those given."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(FLAGS) and k != "V"}
    clean.update(environment or {})
    return subprocess.run([str(path), *map(str, flags)], capture_output=True,
                          encoding="utf-8", errors="replace", env=clean, timeout=60)


def strict_json(text):
    """Parses as the strict parsers do: no NaN, no Infinity, no key twice."""
    def refuse(word):
        raise ValueError(f"{word} is not JSON")

    def no_duplicates(pairs):
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise ValueError(f"a key twice: {keys}")
        return dict(pairs)

    return json.loads(text, parse_constant=refuse, object_pairs_hook=no_duplicates)


def run_to_json(path, out, *flags, status=0):
    done = run(path, f"--benchmark_out={out}", "--benchmark_min_time=0.01", *flags)
    assert done.returncode == status, done.stderr
    return strict_json(Path(out).read_text())
