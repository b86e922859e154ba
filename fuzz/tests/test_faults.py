"""Every planted fault is found within its budget, as an item it is declared for; equivalents stay silent.
A fault that survives fails CI."""

import pytest

from heapgauge import faultscore
from heapgauge.faultscore import list_faults, program

HEAPGAUGE = program()
FAULTS = list_faults(HEAPGAUGE)


def trial(fault, time, seed=1, **options):
    values = {"inner": "core", "time": time, "random": False, "oracle_fault": "", "mute": False, **options}
    return faultscore.run_trial(HEAPGAUGE, fault, seed, type("Options", (), values))


def test_there_are_enough():
    assert sum(fault["ease"] != "0" for fault in FAULTS) >= 30
    assert sum(fault["ease"] == "0" for fault in FAULTS) >= 3
    assert len({fault["name"] for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", [f for f in FAULTS if f["ease"] != "0"], ids=lambda f: f["name"])
def test_is_found(fault):
    result = trial(fault, 60 if fault["ease"] == "4" else 20)
    assert faultscore.is_declared(fault, result["found"]), f"found as {result['found']}: {result['text']}"
    assert result["cpu_s"] < (60 if fault["ease"] == "4" else 10)


@pytest.mark.parametrize("fault", [f for f in FAULTS if f["ease"] == "0"], ids=lambda f: f["name"])
def test_equivalent_is_silent(fault):
    assert trial(fault, 0.8)["found"] is None
