"""Each check is needed: without it some fault survives; and each fault of the oracle itself lets one live."""

import subprocess

import pytest

from heapgauge import faultscore
from heapgauge.faultscore import list_faults, program

HEAPGAUGE = program()
FAULTS = {fault["name"]: fault for fault in list_faults(HEAPGAUGE)}
TIME = 0.25

# Item, and a fault that only its check sees: with the item muted the fault survives.
ALONE = [("C2", "malloc-eight"), ("C20", "calloc-eight"), ("C30", "align-huge-page"),
         ("C9,C28", "malloc-errno"), ("C12", "refuses"), ("C13", "no-enomem"), ("C17", "calloc-tail"),
         ("C18", "calloc-overflow"), ("C22", "realloc-one-short"), ("C25", "realloc-zero"),
         ("C31", "bad-align-accepted"), ("C34", "align-sum-wraps"), ("C36", "posix-error"),
         ("C37", "memptr-written"), ("C11", "header-wraps"), ("C40", "usable-null"),
         ("C42", "usable-changes"), ("C43", "pvalloc-wraps"), ("C45", "free-null"),
         ("C51", "memory-lost"), ("C65,C68", "kernel-no-pad"), ("C67", "layout-dirty"),
         ("C27", "reallocarray-overflow"), ("C28", "growth-moves"), ("C44,C28", "good-size"), ("C46", "large-free-errno"),
         ("C49", "new-align"), ("C54", "fork-forgets"), ("C55", "half-exported"), ("C56", "trim-result"),
         ("C59", "mallinfo-negative"), ("C60", "rallocx-zero"), ("C61", "aligned-at"), ("C62", "good-size-low")]

# A fault of the oracle, a planted fault that then lives, and its target.
BLIND = [("no-alignment", "align-mask", "libc"), ("max-align-only", "align-page", "libc"),
         ("skip-slot-0", "realloc-words", "libc"), ("skip-realloc", "realloc-one-short", "libc"),
         ("one-byte", "purge-damages", "environment"), ("no-zeroes", "calloc-tail", "libc"),
         ("no-usable", "usable-too-large", "libc"), ("no-failures", "posix-error", "libc"),
         ("no-errno", "no-enomem", "libc"), ("no-fork", "fork-forgets", "environment")]


def verdict(*words):
    done = subprocess.run([HEAPGAUGE, "check", "--single", *words], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.split()[1], done.stdout


@pytest.mark.parametrize("item, name", ALONE)
def test_only_this_check_sees_it(item, name):
    fault = dict(FAULTS[name], found_as=item)
    values = {"inner": "core", "time": TIME, "random": False, "oracle_fault": "", "mute": True}
    result = faultscore.run_trial(HEAPGAUGE, fault, 1, type("Options", (), values))
    assert result["found"] is None, f"{result['found']}: {result['text']}"


@pytest.mark.parametrize("oracle_fault, name, target", BLIND)
def test_a_blind_oracle_lets_one_live(oracle_fault, name, target, tmp_path):
    backend = f"--backend=fault-{name}:core"
    subprocess.run([HEAPGAUGE, "fuzz", backend, f"--target={target}", "--time=5", "--seed=1", "-o", str(tmp_path)],
                   capture_output=True, check=False)
    trace = str(next(tmp_path.glob("*.hgt")))
    assert verdict(backend, trace)[0] == "broken"
    assert verdict(backend, f"--oracle-fault={oracle_fault}", trace)[0] == "clean"


def test_an_oracle_whose_counter_wraps_sees_only_the_beginning():
    backend = "--backend=fault-double-insert:core"
    assert " C" in verdict(backend, "--ops=20k")[1]
    assert " C" not in verdict(backend, "--ops=20k", "--oracle-fault=counter-wraps")[1]
