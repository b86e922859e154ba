"""What this machine is and how quiet it is: facts for a result's context and for `doctor`.

Every function answers from /proc and /sys, and with None where the system doesn't say.
"""

import json
import os
import platform
import re
import subprocess
from datetime import datetime
from pathlib import Path


def find_repository(package):
    """The checkout that `package`, the folder scripts/python/heapgauge, lies in; None when it is an installed copy
    (which may well lie in a repository, somebody's of another kind)."""
    root = package.parents[2]
    return root if package == root / "scripts" / "python" / "heapgauge" else None


REPOSITORY = find_repository(Path(__file__).resolve().parent)


def portable(path):
    """A path as it may stand in a published result: relative to the repository if it lies there."""
    text = str(path)
    if not os.path.isabs(text) or REPOSITORY is None:
        return text
    try:
        return str(Path(text).resolve().relative_to(REPOSITORY))
    except ValueError:
        return text


def portable_option(word):
    """portable() for the value of --name=value too."""
    name, equals, value = word.partition("=")
    return f"{name}={portable(value)}" if equals else portable(word)


def read_text(path):
    """A file's text, stripped; None if it can't be read."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return None


def chosen(path):
    """The [bracketed] word of a sysfs choice such as `always [madvise] never`."""
    match = re.search(r"\[(.+?)\]", read_text(path) or "")
    return match[1] if match else None


def output_of(*command, cwd=None):
    """A command's output, stripped; None if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=cwd,
                              stdin=subprocess.DEVNULL, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def cpu_fields():
    """The first processor's lines of /proc/cpuinfo."""
    text = (read_text("/proc/cpuinfo") or "").split("\n\n")[0]
    return dict(re.findall(r"^(.+?)\s*:\s*(.*)$", text, re.M))


def governor():
    """The frequency governors in use, e.g. "performance"."""
    words = {read_text(p) for p in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return ",".join(sorted(w for w in words if w)) or None


def turbo():
    """"on" or "off"."""
    off = read_text("/sys/devices/system/cpu/intel_pstate/no_turbo")
    if off is not None:
        return "off" if off == "1" else "on"
    boost = read_text("/sys/devices/system/cpu/cpufreq/boost")
    if boost is not None:
        return "on" if boost == "1" else "off"
    return None


def smt():
    """"on" or "off": whether cores are shared by hardware threads."""
    active = read_text("/sys/devices/system/cpu/smt/active")
    return {"1": "on", "0": "off"}.get(active)


def hypervisor():
    """The hypervisor's name, "yes" if only its presence is known, "none"."""
    vendor = output_of("systemd-detect-virt", "--vm")
    if vendor:
        return vendor
    if "hypervisor" in cpu_fields().get("flags", "").split():
        return read_text("/sys/hypervisor/type") or "yes"
    return "none"


def mitigations():
    """Processor weaknesses and what the kernel does about them, in one line."""
    folder = Path("/sys/devices/system/cpu/vulnerabilities")
    found = [f"{p.name}: {read_text(p)}" for p in sorted(folder.glob("*"))
             if (read_text(p) or "Not affected") != "Not affected"]
    return "; ".join(found) or None


def cgroup_value(name):
    """A limit of this process's cgroup (v2), e.g. cpu.max."""
    match = re.search(r"^0::(.*)$", read_text("/proc/self/cgroup") or "", re.M)
    if not match:
        return None
    return read_text(f"/sys/fs/cgroup{match[1].rstrip('/')}/{name}")


def aslr():
    """"on", "off" or "partial", for this process and its children."""
    if int(read_text("/proc/self/personality") or "0", 16) & 0x0040000:
        return "off"
    return {"0": "off", "1": "partial", "2": "on"}.get(read_text("/proc/sys/kernel/randomize_va_space"))


def caches():
    """CPU 0's caches as Google Benchmark lists them."""
    found = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index[0-9]*")):
        size = re.fullmatch(r"(\d+)([KMG]?)", read_text(folder / "size") or "")
        shared = read_text(folder / "shared_cpu_list") or ""
        if not size:
            continue
        count = sum(int(b or a) - int(a) + 1 for a, b in re.findall(r"(\d+)(?:-(\d+))?", shared))
        found.append({
            "type": read_text(folder / "type"),
            "level": int(read_text(folder / "level") or 0),
            "size": int(size[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[size[2]],
            "num_sharing": count,
        })
    return found


def steal_ticks():
    """Clock ticks in which the hypervisor ran someone else instead of us, since boot."""
    first = (read_text("/proc/stat") or "").split("\n")[0].split()
    return int(first[8]) if len(first) > 8 else None


def total_ticks():
    """All clock ticks of all processors since boot."""
    first = (read_text("/proc/stat") or "").split("\n")[0].split()
    return sum(map(int, first[1:9])) if len(first) > 8 else None


def context_switches():
    """Context switches of the whole machine since boot."""
    match = re.search(r"^ctxt (\d+)", read_text("/proc/stat") or "", re.M)
    return int(match[1]) if match else None


def load_average():
    """The three load averages, or none of them."""
    try:
        return [round(x, 3) for x in os.getloadavg()]
    except OSError:
        return []


def now():
    """The time as RFC 3339, local, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def build_facts(program):
    """Compiler and flags, which CMake left beside the program's parts in Python, built or installed."""
    try:
        found = json.loads(read_text(Path(program).parent.parent / "share/heapgauge/build.json") or "{}")
    except ValueError:
        found = {}
    return {key: found.get(key) or None for key in ("build_type", "compiler", "cflags")}


def facts(program, repository):
    """What belongs in a result's context and stays the same over a run: name -> text."""
    cpu = cpu_fields()
    affinity = sorted(os.sched_getaffinity(0))
    found = {
        "harness_version": (output_of(program, "--version") or "").split("\n")[0] or None,
        "git_sha": repository and output_of("git", "rev-parse", "HEAD", cwd=repository),
        **build_facts(program),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "distribution": distribution(),
        "cpu_model": cpu.get("model name"),
        "microcode": cpu.get("microcode"),
        "governor": governor(),
        "turbo": turbo(),
        "smt": smt(),
        "thp": chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "overcommit": read_text("/proc/sys/vm/overcommit_memory"),
        "aslr": aslr(),
        "hypervisor": hypervisor(),
        "mitigations": mitigations(),
        "numa_nodes": str(len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or 1),
        "memory_bytes": str(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        "page_size": str(os.sysconf("SC_PAGE_SIZE")),
        "affinity": ",".join(map(str, affinity)),
        "nice": str(os.nice(0)),
        "cgroup_cpu": cgroup_value("cpu.max"),
        "cgroup_mem": cgroup_value("memory.max"),
        "timer": read_text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "preload": os.environ.get("LD_PRELOAD") or None,
        "hyperfine": output_of("hyperfine", "--version"),
    }
    if found["git_sha"]:
        found["dirty"] = "yes" if output_of("git", "status", "--porcelain", cwd=repository) else "no"
    for key in ("preload", "cgroup_cpu", "cgroup_mem"):
        found[key] = found[key] or "none"
    for key in ("governor", "turbo", "smt", "thp", "mitigations"):
        found[key] = found[key] or "unknown"  # not visible here, as in many a virtual machine
    return {key: value for key, value in found.items() if value is not None}


def distribution():
    """The distribution's name and version."""
    match = re.search(r'^PRETTY_NAME="?(.*?)"?$', read_text("/etc/os-release") or "", re.M)
    return match[1] if match else None


def reading():
    """How busy the machine is right now: taken before and after, and compared."""
    return {"time": now(), "load_average": load_average(), "steal_ticks": steal_ticks(),
            "total_ticks": total_ticks(), "context_switches": context_switches()}
