"""The kernel story, measured: how many blocks does each way of asking krealloc leave less aligned than asked?"""

import json
import re
from pathlib import Path

# size, alignment. The classes of kmalloc between the powers of two are 96 and 192.
LAYOUTS = [(96, 64), (192, 128), (72, 64), (8, 64), (20, 4096), (96, 32), (160, 32), (192, 64), (24, 8), (64, 64)]
RULES = ["krealloc", "fault-unpadded", "krealloc_padded", "krealloc_aligned"]
BLOCKS = 128
PROMISE_BLOCKS = 17


def jobs(blocks=BLOCKS):
    """Commands of module.c for the whole table: fresh blocks, and blocks grown from one byte."""
    return [f"survey {rule} {size} {align} {former} {blocks}"
            for size, align in LAYOUTS for rule in RULES for former in (0, 1)]


def owed(size, release):
    """The alignment that Linux promises a block of that size, in bytes (contract C74): its size if that is a power of two;
    since 6.11 the largest power of two that divides it."""
    divisor = size & -size
    stronger = tuple(map(int, re.findall(r"\d+", release)[:2])) >= (6, 11)
    return max(divisor if divisor == size or stronger else 1, 8)


def promise_jobs():
    """Commands that show the least alignment of sizes about which there is a promise, and of some between."""
    sizes = [1 << n for n in range(3, 14)] + [24, 40, 48, 72, 80, 96, 112, 160, 192, 224, 320, 384, 768, 1536, 3072]
    return [f"survey {backend} {size} 1 0 {PROMISE_BLOCKS}" for backend in ("kmalloc", "krealloc", "kvmalloc")
            for size in sizes]


def broken_promises(answers):
    """[(backend, size, least seen, owed)] where a kernel gives less than its release promises."""
    release = next((a.fields.get("release", "0") for a in answers if a.command == "info"), "0")
    broken = []
    for answer in answers:
        words = answer.command.split()
        if words[0] == "survey" and int(words[5]) == PROMISE_BLOCKS and answer.fields.get("blocks"):
            least, promised = answer.fields["least"], owed(int(words[2]), release)
            if least < promised:
                broken.append((words[1], int(words[2]), least, promised))
    return broken


def class_jobs(emulated):
    """Commands for the alignment each size class really gets; fewer sizes where time is dear."""
    step = 61 if emulated else 7
    return [command for backend in ("kmalloc", "krealloc", "kvmalloc", "kmem_cache")
            for command in (f"classes {backend} 1 520 1 16", f"classes {backend} 512 8200 {step} 16")]


def cells(answers):
    """{(rule, size, align): [less of fresh blocks, less of grown ones]} of a guest's answers."""
    found = {}
    for answer in answers:
        words = answer.command.split()
        if words[0] == "survey" and int(words[5]) == BLOCKS:
            size, align, former = int(words[2]), int(words[3]), int(words[4])
            found.setdefault((words[1], size, align), [None, None])[former > 0] = answer.fields.get("less")
    return found


def classes(answers, backend):
    """[(first, last, least alignment)] of a backend's size classes."""
    runs = []
    for answer in answers:
        if answer.command.split()[:2] == ["classes", backend]:
            runs += [tuple(map(int, m)) for m in re.findall(r"(\d+)-(\d+):(\d+)", answer.text)]
    return runs


def least_by_class(runs):
    """Least alignment by slab class of kmalloc: {96: 32, ...}; runs that touch several count in each."""
    bounds = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192]
    least, lower = {}, 0
    for bound in bounds:
        seen = [align for first, last, align in runs if first <= bound and last > lower and align]
        if seen:
            least[bound] = min(seen)
        lower = bound
    return least


def table(runs):
    """The page's table, Markdown, of {name of a run: its record as stored}: fresh and grown blocks together."""
    names = list(runs)
    lines = ["| size/alignment | " + " | ".join(names) + " |", "|:--|" + ":--|" * len(names)]
    for size, align in LAYOUTS:
        row = []
        for name in names:
            pairs = [runs[name]["story"][f"{rule} {size}/{align}"] for rule in RULES]
            row.append(", ".join(str(sum(pair)) for pair in pairs))
        lines.append(f"| {size}/{align} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def class_table(runs):
    """Least alignment seen by size class, Markdown."""
    names = list(runs)
    bounds = sorted({int(b) for run in runs.values() for b in run["classes"]["kmalloc"]})
    lines = ["| kmalloc class, bytes | " + " | ".join(names) + " |", "|--:|" + "--:|" * len(names)]
    lines += [f"| {bound} | " + " | ".join(str(runs[n]["classes"]["kmalloc"].get(str(bound), "")) for n in names) + " |"
              for bound in bounds]
    return "\n".join(lines)


def campaign_table(runs):
    """What the seeded streams came to, Markdown."""
    names = list(runs)
    backends = list(dict.fromkeys(b for run in runs.values() for b in run["campaign"]))
    lines = ["| backend | " + " | ".join(names) + " |", "|:--|" + ":--|" * len(names)]
    for backend in backends:
        row = []
        for name in names:
            one = runs[name]["campaign"].get(backend)
            row.append("" if not one else one["verdict"] if one["verdict"] != "broken"
                       else f"{one['item']} at operation {one['at']}")
        lines.append(f"| `{backend}` | " + " | ".join(row) + " |")
    red = ["red zone" if any("edzone overwritten" in alarm for alarm in runs[n]["alarms"]) else "" for n in names]
    lines.append("| `fault-overflow` | " + " | ".join(red) + " |")
    return "\n".join(lines)


def rust_table(runs):
    """The kernel's own Rust allocator, Markdown, of the runs of --rust."""
    lines = ["| | " + " | ".join(runs) + " |", "|:--|" + ":--|" * len(runs)]
    for backend in ("rust_alloc", "rg_alloc"):
        row = []
        for run in runs.values():
            one = run["campaign"][backend]
            row.append(f"clean, {one['ops']} operations" if one["verdict"] == "clean"
                       else f"{one['item']} at operation {one['at']}")
        lines.append(f"| `__{backend}` | " + " | ".join(row) + " |")
    layouts = dict.fromkeys((size, align) for run in runs.values() for size, align, _, _ in run["vectors"])
    for size, align in layouts:
        row = [f"{bad} of {count}" for run in runs.values() for s, a, bad, count in run["vectors"] if (s, a) == (size, align)]
        lines.append(f"| vectors of {size}/{align}, less aligned | " + " | ".join(row) + " |")
    return "\n".join(lines)


def record(name, outcome):
    """What is stored of one guest: facts, cells, classes, verdicts."""
    info = next((a.fields for a in outcome.answers if a.command == "info"), {})
    campaign = {}
    for answer in outcome.answers:
        words = answer.command.split()
        if words[0] == "generate":
            keep = {k: answer.fields[k] for k in ("verdict", "ops", "succeeded", "moved", "digest", "item", "at", "text")
                    if k in answer.fields}
            campaign[words[1]] = {**keep, "ns": answer.ns}
    return {"kernel": name, "release": info.get("release"), "kmalloc_min": info.get("kmalloc_min"),
            "blocks": BLOCKS, "alarms": outcome.alarms[:5], "ended": outcome.ended,
            "vectors": outcome.vectors,
            "broken_promises": broken_promises(outcome.answers),
            "story": {f"{rule} {size}/{align}": pair for (rule, size, align), pair in cells(outcome.answers).items()},
            "classes": {b: least_by_class(classes(outcome.answers, b)) for b in ("kmalloc", "krealloc", "kvmalloc")},
            "campaign": campaign}


def page(folder):
    """Puts the tables between the markers of the folder's README.md; the new text."""
    folder = Path(folder)
    runs = {}
    for path in sorted(folder.glob("*.json"), key=lambda p: (p.stem.split("-")[0] != "uml", p.stem)):
        one = json.loads(path.read_text())
        runs[path.stem] = one
    rust = {name: run for name, run in runs.items() if name.startswith("rust")}
    runs = {name: run for name, run in runs.items() if name not in rust}
    readme = folder / "README.md"
    text = readme.read_text()
    for name, made in (("story", table(runs)), ("classes", class_table(runs)), ("campaign", campaign_table(runs)),
                       ("rust", rust_table(rust))):
        text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: f"{m[1]}{made}\n{m[2]}", text, flags=re.S)
    return text
