"""`heapgauge merge`: puts results of several machines side by side, without ever mixing their samples.

The merged folder holds a copy of each (parts/NAME/, raw data and all), and one table with a column a
machine. Ratios of different machines are not averaged: whether they agree is what is said.
"""

import json
import shutil
import sys
from pathlib import Path

from . import report, store
from .errors import EXIT_FINDING, EXIT_WELL, Parser, Trouble
from .exporters import words
from .exporters.markdown import aligned


def copy_part(source, target):
    """Copies a results folder's raw files, once they are known to be whole."""
    report.load(source)
    for name in (*source.sums, store.MANIFEST):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.path / name, target / name)


def part_names(paths):
    """A name for each folder: its last component, made unique."""
    names = []
    for path in paths:
        name, number = path.resolve().name, 2
        while name in names:
            name, number = f"{path.resolve().name}-{number}", number + 1
        names.append(name)
    return names


def agreement(found):
    """What several machines say together of one cell."""
    said = {w for w in found if w}
    if not said:
        return ""
    if len(said) == 1 and len(found) == len([w for w in found if w]):
        return f"{said.pop()} everywhere"
    if {"faster", "slower"} <= said or {"smaller", "larger"} <= said:
        return "machines disagree"
    return "mixed"


def rows_of(models):
    """One row a workload and backend: each machine's ratio and word."""
    keys = dict.fromkeys((c["workload"], c["backend"]) for m in models.values() for c in m["cells"]
                         if c["role"] == "backend")
    rows = []
    for workload, backend in keys:
        shown, said = [], []
        for model in models.values():
            cell = next((c for c in model["cells"] if (c["workload"], c["backend"]) == (workload, backend)), None)
            ratio = cell and cell["time_ratio"]
            shown.append(f"{words.ratio(ratio)} {ratio['word']}" if ratio else (cell["status"] if cell else ""))
            said.append(ratio["word"] if ratio else None)
        rows.append({"workload": workload, "backend": backend, "shown": shown, "agreement": agreement(said)})
    return rows


def table(models, baseline):
    """The merged table.md."""
    rows = rows_of(models)
    header = ["workload", "backend", *models, "together"]
    lines = [f"# Time relative to {baseline} on {len(models)} machines", ""]
    for name, model in models.items():
        stamp = " **NOISY**" if model["noisy"] else ""
        lines.append(f"- {name}: {model['context'].get('cpu_model', 'unknown CPU')} × {model['num_cpus'] or '?'}, "
                     f"{model['rounds']} rounds{stamp} (parts/{name}/table.md)")
    body = aligned(header, [[r["workload"], r["backend"], *r["shown"], r["agreement"]] for r in rows], header)
    return "\n".join([*lines, "", body])


def publish(folder):
    """Writes a merged folder's tables and those of its parts; (text, findings)."""
    names = folder.read_json("merged.json")["parts"]
    models = {name: report.publish(store.Folder(folder.path / "parts" / name)) for name in names}
    baselines = {m["baseline"] for m in models.values()}
    if len(baselines) > 1:
        raise Trouble(f"the parts have different baselines ({', '.join(sorted(baselines))}): measure against one")
    text = table(models, baselines.pop())
    store.write_atomic(folder.path / "table.md", text.encode())
    merged = {"merged_version": 1, "parts": names, "models": models}
    store.write_atomic(folder.path / "results.json", (json.dumps(merged, indent=1, allow_nan=False) + "\n").encode())
    return text, [f"{name}: {f}" for name, m in models.items() for f in m["findings"]]


def main(argv):
    """Runs `heapgauge merge` and returns its exit status."""
    parser = Parser(
        prog="heapgauge merge", description="Puts the results of several machines side by side.",
        epilog="Exit status: 0 well; 1 a part holds a finding; 2 usage, or a part that is not whole.")
    parser.add_argument("parts", nargs="+", metavar="DIR", type=Path)
    parser.add_argument("-o", "--output", required=True, metavar="DIR", type=Path)
    options = parser.parse_args(argv)
    if options.output.exists() and any(options.output.iterdir()):
        raise Trouble(f"{options.output}: not empty: choose another -o")
    flat = []
    for path in options.parts:
        inner = store.Folder(path)
        flat += [path / "parts" / n for n in inner.read_json("merged.json")["parts"]] \
            if inner.exists("merged.json") else [path]
    folder = store.Folder(options.output)
    names = part_names(flat)
    try:
        for name, path in zip(names, flat):
            copy_part(store.Folder(path), options.output / "parts" / name)
        folder.write_json("merged.json", {"merged_version": 1, "parts": names})
    except OSError as error:
        raise store.explain(error, options.output) from None
    text, findings = publish(folder)
    print(text)
    for finding in findings:
        print(f"finding: {finding}", file=sys.stderr)
    return EXIT_FINDING if findings else EXIT_WELL
