"""A replay's peak footprint is its program's, within a tenth, on the allocator it was recorded with."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[3] / "scripts" / "replay-footprint"


@pytest.mark.parametrize("name", ["python", "perl", "sqlite", "cc1"])
def test_footprint_is_the_programs(name):
    if not shutil.which({"python": "python3", "sqlite": "sqlite3", "cc1": "gcc"}.get(name, name)):
        pytest.skip(f"no {name} here: scripts/setup traces")
    done = subprocess.run([SCRIPT, "--json", name], capture_output=True, text=True, check=True,
                          env={**os.environ, "HEAPGAUGE": os.environ["HEAPGAUGE_TEST"]})
    row = json.loads(done.stdout)
    assert row["program_bytes"] > 2 << 20
    assert abs(row["error"]) < 0.10, row
