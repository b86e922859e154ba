"""heapgauge bench --instructions: counts repeat, and say what is missing where a tool is absent.

    test_instructions.py PATH_OF_heapgauge"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

FILTER = "--benchmark_filter=^pair/size:64$"


def figures(program, path=None):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        environment = {**os.environ, "PATH": path} if path is not None else None
        done = subprocess.run([program, "bench", "--instructions", "--backend=null,core", FILTER, "--ops=500,2500",
                               f"--json={out.name}"], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return json.load(open(out.name)), done.stdout


def main(program):
    without, text = figures(program, path="/nonexistent")
    assert all(row["instructions_per_op"] is None for row in without["rows"])
    assert "valgrind is absent" in text and "strace is absent" in text, text
    if not shutil.which("valgrind"):
        print("skipped: valgrind is absent (apt-get install valgrind)")
        return
    first, text = figures(program)
    second, _ = figures(program)
    print(text)
    for a, b in zip(first["rows"], second["rows"]):
        if a["instructions_per_op"] is None:
            print("skipped: " + "; ".join(first["missing"].values()))
            return
        assert abs(a["instructions_per_op"] - b["instructions_per_op"]) < 0.5, (a, b)
    null, core = (row["instructions_per_op"] for row in first["rows"])
    assert 3 < null < core, (null, core)  # an operation is a call at least


if __name__ == "__main__":
    main(sys.argv[1])
