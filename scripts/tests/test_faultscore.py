"""fault-score's book: trials are written down as they end, an interrupted score goes on, another build is refused."""

import json
import stat

import pytest

from heapgauge import faultscore, reproducers
from heapgauge.errors import Trouble

FAKE = '''#!/usr/bin/python3 -S
import json, sys
words = sys.argv[1:]
if "--faults" in words:
    print("easy\\tC1\\tC1,C30\\tlibc\\t-\\t1\\talignment")
    print("missed\\tC4\\tC4\\tlibc\\t-\\t3\\tnever found")
    print("same\\t-\\t-\\tlibc\\t-\\t0\\tequivalent")
    sys.exit(0)
value = {word.split("=")[0]: word.split("=")[-1] for word in words if "=" in word}
open(__file__ + ".calls", "a").write(" ".join(words) + "\\n")
found = "easy" in value["--backend"]
finding = {"item": "C30", "inputs_to_exposure": 3, "operations_to_exposure": 300, "text": "t",
           "cpu_seconds_to_exposure": 0.25}
cell = {"findings": [finding] if found else [], "inputs": 1000, "operations": 100000, "cpu_seconds": 2.0}
json.dump({"cells": [cell]}, open(value["--json"], "w"))
sys.exit(1 if found else 0)
'''


@pytest.fixture
def fake(tmp_path, monkeypatch):
    path = tmp_path / "heapgauge"
    path.write_text(FAKE)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("HEAPGAUGE", str(path))
    return path


def calls(fake):
    return (fake.parent / "heapgauge.calls").read_text().splitlines()


def score(folder, *words):
    return faultscore.main(["-o", str(folder), "--trials=3", "--jobs=2", "--clean-operations=4e5", *words])


def test_table_and_verdict(fake, tmp_path, capsys):
    assert score(tmp_path / "out") == 1, "one fault is never found"
    lines = {line.split(" | ")[0].strip("| "): line for line in capsys.readouterr().out.splitlines()}
    assert "3/3" in lines["easy"] and "0.25" in lines["easy"] and "C30 3" in lines["easy"]
    assert "0/3" in lines["missed"] and "not as owed" in lines["missed"]
    assert "not as owed" not in lines["same"] and "silent" in lines["system, libc"]
    rows = {row["fault"]: row for row in json.loads((tmp_path / "out" / "score.json").read_text())["mutator"]}
    assert rows["missed"]["cpu_s"] == {"median": None, "low": None, "high": None}
    # 3 trials of 3 faults by the mutator, of 2 by random bytes, one campaign for each target of the clean backend.
    assert len(calls(fake)) == 9 + 6 + 4


def test_an_interrupted_score_goes_on(fake, tmp_path):
    score(tmp_path / "out")
    before, book = len(calls(fake)), tmp_path / "out" / "trials.jsonl"
    lines = book.read_text().splitlines(keepends=True)
    book.write_text("".join(lines[:4]) + lines[4][:20])  # killed in the middle of a line
    score(tmp_path / "out")
    assert len(calls(fake)) - before == before - 3
    assert len(book.read_text().splitlines()) == len(lines)


def test_another_build_is_refused(fake, tmp_path):
    score(tmp_path / "out", "easy")
    fake.write_text(FAKE + "# another\n")
    with pytest.raises(Trouble, match="another build"):
        score(tmp_path / "out", "easy")
    fake.write_text(FAKE.replace("C1,C30", "C1"))  # the table is of what is there, by what is declared today
    assert score(tmp_path / "out", "--table") == 1
    assert json.loads((tmp_path / "out" / "score.json").read_text())["mutator"][0]["found"] == 0


def test_unknown_names_are_usage(fake, tmp_path):
    assert score(tmp_path / "out", "nosuch") == 2
    assert score(tmp_path / "out", "--modes=none") == 2
    assert reproducers.main(["nosuch"]) == 2


@pytest.mark.parametrize("change, owed", [({}, True), ({"operations": 13}, False), ({"reduce_s": 11}, False),
                                          ({"ease": 4, "operations": 60}, True), ({"replays": 0}, False),
                                          ({"objecting": ["gcc"]}, False), ({"item": None}, False)])
def test_what_a_reproducer_owes(change, owed):
    row = {"ease": 3, "item": "C4", "operations": 12, "reduce_s": 9.0, "reproduced": True, "replays": 100, "replays_asked": 100,
           "objecting": [], **change}
    assert reproducers.is_as_owed(row) == owed
