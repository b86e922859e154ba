"""Fronts: which settings nothing beats, and which are tried."""

import pytest
from heapgauge import fronts
from heapgauge.errors import Trouble


def row(time, kept):
    return {"time": {"value": time}, "kept_bytes": kept}


def test_the_front_by_hand():
    rows = [row(1.0, 100), row(1.2, 50), row(1.2, 60), row(0.9, 200), row(1.3, 50), row(1.0, 100), {"time": None, "kept_bytes": 1}]
    fronts.on_front(rows)
    assert [r["on_front"] for r in rows] == [True, True, False, True, False, True, False]


def test_settings_of_ones_own_come_after_the_known_ones():
    known = {"jemalloc": {"available": True}, "core": {"available": True}, "mimalloc": {"available": False, "why": "not here"}}
    found = fronts.families("core,jemalloc:narenas=2,jemalloc:narenas=1", known)
    assert found["core"] == ["core"]
    assert found["jemalloc"][0] == "jemalloc" and found["jemalloc"][-1] == "jemalloc:narenas=2"
    assert found["jemalloc"].count("jemalloc:narenas=1") == 1
    assert set(fronts.families("all", known)) == {"core", "jemalloc"}
    with pytest.raises(Trouble, match="not here"):
        fronts.families("mimalloc", known)
    with pytest.raises(Trouble, match="unknown backend"):
        fronts.families("jemaloc", known)
