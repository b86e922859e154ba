"""`heapgauge doctor`: what would spoil measurements on this machine, and how to mend each."""

import json
import os
import shutil
import time
from pathlib import Path

from . import machine
from .errors import EXIT_FINDING, EXIT_WELL, Parser

WATCH_SECONDS = 2.0
BUSY_SHARE = 0.05


def result(name, state, value, mend=""):
    """One finding: state is "ok", "warn" or "unknown"."""
    return {"check": name, "state": state, "value": str(value), "mend": mend if state == "warn" else ""}


def check_governor():
    """Frequency scaling makes the same work take different times."""
    value = machine.governor()
    if value is None:
        return result("governor", "unknown", "not visible here (usual in a virtual machine)")
    return result("governor", "ok" if value == "performance" else "warn", value,
                  "apt-get install linux-cpupower && cpupower frequency-set -g performance")


def check_turbo():
    """Turbo depends on temperature and on the other cores."""
    value = machine.turbo()
    if value is None:
        return result("turbo", "unknown", "not visible here")
    return result("turbo", "warn" if value == "on" else "ok", value,
                  "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo, or echo 0 > "
                  "/sys/devices/system/cpu/cpufreq/boost")


def check_smt():
    """A neighbour on the same core takes a share that nobody accounts for."""
    value = machine.smt()
    if value is None:
        return result("smt", "unknown", "not visible here")
    return result("smt", "warn" if value == "on" else "ok", value,
                  "echo off > /sys/devices/system/cpu/smt/control, or leave the sibling cores idle")


def check_thp():
    """With huge pages for everyone, footprint is the kernel's choice as much as the allocator's."""
    value = machine.chosen("/sys/kernel/mm/transparent_hugepage/enabled")
    if value is None:
        return result("huge pages", "unknown", "not visible here")
    return result("huge pages", "warn" if value == "always" else "ok", value,
                  "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")


def check_aslr():
    """Layouts drawn anew for each process: many processes average over them, so it is fine."""
    value = machine.aslr()
    return result("address randomisation", "unknown" if value is None else "ok",
                  f"{value} (each round draws a new layout)" if value == "on" else value or "not visible here")


def check_timer():
    """Any clock but the processor's own costs a system call for each reading."""
    value = machine.read_text("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    good = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page")
    if value is None:
        return result("timer", "unknown", "not visible here")
    return result("timer", "ok" if value in good else "warn", value,
                  "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource, if it is stable")


def check_counters():
    """Hardware counters are used where they are; nothing depends on them."""
    here = Path("/sys/bus/event_source/devices/cpu").exists()
    return result("hardware counters", "ok" if here else "unknown",
                  "there" if here else "none here (usual in a virtual machine); instructions can't be counted")


def check_ksm():
    """Same-page merging changes resident memory behind the allocator's back."""
    value = machine.read_text("/sys/kernel/mm/ksm/run")
    if value is None:
        return result("page merging", "ok", "not in this kernel")
    return result("page merging", "warn" if value == "1" else "ok", "on" if value == "1" else "off",
                  "echo 0 > /sys/kernel/mm/ksm/run")


def check_quota():
    """A processor quota stops a process in the middle of a measurement."""
    value = machine.cgroup_value("cpu.max")
    limited = value is not None and not value.startswith("max")
    return result("cpu quota", "warn" if limited else "ok", value or "none",
                  "run outside the container's limit, or with one of whole processors")


def check_swap():
    """A swapped page is not resident: footprint would look too small."""
    text = machine.read_text("/proc/meminfo") or ""
    kib = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines() if line.endswith("kB")}
    used = kib.get("SwapTotal", 0) - kib.get("SwapFree", 0)
    low = kib.get("MemAvailable", 1 << 30) < 1 << 20
    value = f"{used // 1024} MiB swapped out, {kib.get('MemAvailable', 0) // 1024} MiB available"
    return result("memory", "warn" if low or used > 100 * 1024 else "ok", value,
                  "close what uses the memory; swapoff -a")


def check_hyperfine():
    """It runs the rounds."""
    return result("hyperfine", "ok" if shutil.which("hyperfine") else "warn",
                  machine.output_of("hyperfine", "--version") or "missing", "apt-get install hyperfine")


def check_build():
    """Only the release build is to be measured."""
    program = os.environ.get("HEAPGAUGE")
    kind = machine.build_facts(program)["build_type"] if program else None
    if kind is None:
        return result("build", "unknown", "build type not known")
    return result("build", "warn" if kind == "Debug" else "ok", kind, "cmake --workflow --preset release")


def process_ticks():
    """pid -> (name, ticks used so far), of every process but this one."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        text = machine.read_text(entry / "stat")
        if text and int(entry.name) != os.getpid():
            fields = text.rpartition(")")[2].split()
            found[int(entry.name)] = (text[text.index("(") + 1:text.rindex(")")], int(fields[11]) + int(fields[12]))
    return found


def check_company(seconds):
    """Watches for a while: stolen time, other busy processes, the load."""
    before, steal, total = process_ticks(), machine.steal_ticks(), machine.total_ticks()
    time.sleep(seconds)
    after = process_ticks()
    per_second = os.sysconf("SC_CLK_TCK")
    busy = []
    for pid, (name, ticks) in after.items():
        share = (ticks - before.get(pid, (name, ticks))[1]) / per_second / seconds
        if share > BUSY_SHARE:
            busy.append((share, name))
    found = [result("other processes", "warn" if busy else "ok",
                    ", ".join(f"{n} {s:.0%}" for s, n in sorted(busy, reverse=True)[:5]) or "none busy",
                    "stop them, or wait")]
    load = machine.load_average()
    found.append(result("load", "warn" if load and load[0] > 0.5 else "ok",
                        " ".join(f"{x:.2f}" for x in load) or "not visible here", "wait until it is below 0.5"))
    if steal is None:
        return [*found, result("stolen time", "unknown", "not visible here")]
    share = (machine.steal_ticks() - steal) / max(1, machine.total_ticks() - total)
    found.append(result("stolen time", "warn" if share > 0.01 else "ok", f"{share:.1%} of {seconds:g} s",
                        "the host runs others meanwhile: choose dedicated processors, or many rounds"))
    return found


def examine(seconds=WATCH_SECONDS):
    """All checks, as a list of findings."""
    quick = (check_governor, check_turbo, check_smt, check_thp, check_aslr, check_timer, check_counters, check_ksm,
             check_quota, check_swap, check_hyperfine, check_build)
    found = [check() for check in quick]
    found.append(result("hypervisor", "ok", machine.hypervisor()))
    return found + check_company(seconds)


def main(argv):
    """Runs `heapgauge doctor` and returns its exit status."""
    parser = Parser(
        prog="heapgauge doctor", description="Says what would spoil measurements here, and how to mend it.",
        epilog="Exit status: 0 nothing was found; 1 something was.")
    parser.add_argument("--json", action="store_true", help="findings as JSON")
    options = parser.parse_args(argv)
    found = examine()
    if options.json:
        print(json.dumps({"findings": found}, indent=1))
    else:
        for f in found:
            print(f"{f['state']:8} {f['check']}: {f['value']}")
            if f["mend"]:
                print(f"         {f['mend']}")
    return EXIT_FINDING if any(f["state"] == "warn" for f in found) else EXIT_WELL
