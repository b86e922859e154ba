"""Each check is needed: without it some fault survives; and each fault of the oracle itself lets one live."""

import pytest

from heapgauge import faultscore
from heapgauge.faultscore import list_faults, program

HEAPGAUGE = program()
FAULTS = {fault["name"]: fault for fault in list_faults(HEAPGAUGE)}
TIME = 0.5

# Item, and a fault that only its check sees: with the item muted the fault survives.
ALONE = [("C2", "malloc-eight"), ("C20", "calloc-eight"), ("C30", "align-huge-page"),
         ("C9", "malloc-errno"), ("C12", "refuses"), ("C13", "no-enomem"), ("C17", "calloc-tail"),
         ("C18", "calloc-overflow"), ("C22", "realloc-one-short"), ("C25", "realloc-zero"),
         ("C31", "bad-align-accepted"), ("C34", "align-sum-wraps"), ("C36", "posix-error"),
         ("C37", "memptr-written"), ("C11", "header-wraps"), ("C40", "usable-null"),
         ("C42", "usable-changes"), ("C43", "pvalloc-wraps"), ("C45", "free-null"),
         ("C51", "memory-lost"), ("C65", "kernel-no-pad"), ("C67", "layout-dirty"),
         ("C27", "reallocarray-overflow")]

# A fault of the oracle, and planted faults of which at least one then lives.
BLIND = [("no-alignment", ["align-mask", "kernel-no-pad"]), ("skip-slot-0", ["header-overwrites"]),
         ("one-byte", ["realloc-one-short", "calloc-tail"]), ("max-align-only", ["align-page"]),
         ("skip-realloc", ["realloc-one-short"]), ("counter-wraps", ["rare-overlap", "align-huge-page"])]


def found(name, **options):
    values = {"inner": "core", "time": TIME, "random": False, "oracle_fault": "", "mute": False, **options}
    return faultscore.run_trial(HEAPGAUGE, FAULTS[name], 1, type("Options", (), values))["found"]


@pytest.mark.parametrize("item, name", ALONE)
def test_only_this_check_sees_it(item, name):
    fault = dict(FAULTS[name], found_as=item)
    values = {"inner": "core", "time": TIME, "random": False, "oracle_fault": "", "mute": True}
    result = faultscore.run_trial(HEAPGAUGE, fault, 1, type("Options", (), values))
    assert result["found"] is None, f"{result['found']}: {result['text']}"


@pytest.mark.parametrize("oracle_fault, names", BLIND)
def test_a_blind_oracle_lets_one_live(oracle_fault, names):
    survivors = [name for name in names if found(name, oracle_fault=oracle_fault) is None]
    assert survivors
