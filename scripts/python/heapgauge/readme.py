"""`scripts/readme-table`: a published table of results/ between two marker comments of a document.

    <!-- results:begin NAME [CLASS] -->   NAME is a folder of results/; CLASS (trace, micro, threaded): its rows
    ...                                   only, the other classes as geometric means
    <!-- results:end -->
"""

import argparse
import re
import sys
from pathlib import Path

from . import machine, report, store
from .errors import EXIT_FINDING, EXIT_TROUBLE, EXIT_WELL, Parser, Trouble
from .exporters import words
from .exporters.markdown import aligned

BLOCK = re.compile(r"(<!-- results:begin (\S+)(?: (\w+))? -->\n)(.*?)(<!-- results:end -->)", re.S)


def shown_backends(model):
    """The columns: every backend beside the baseline, in the plan's order."""
    return [e["name"] for e in model["entries"] if e["role"] == "backend"]


def time_cell(cell):
    """`0.436 [0.382, 0.590] faster`, or why there is no number."""
    if cell["status"] != "ok" or not cell["time_ratio"]:
        return cell["status"] if cell["status"] != "ok" else "no baseline"
    return f"{words.ratio(cell['time_ratio'])} {cell['time_ratio']['word']}"


def footprint_cell(cell):
    """`1.16`, or why there is no number."""
    if cell["status"] != "ok":
        return cell["status"]
    return f"{cell['footprint']['median']:.2f}" if cell["footprint"] else ""


def mean_rows(model, quantity, kinds, backends):
    """A row of geometric means for each class of `kinds`: `geometric mean, 31 micro`."""
    rows = []
    for kind in kinds:
        found = {m["backend"]: m for m in model["means"] if (m["quantity"], m["class"]) == (quantity, kind)}
        if found:
            count = max(len(m["workloads"]) for m in found.values())
            rows.append([f"*geometric mean, {count} {kind}*", *(words.ratio(found.get(b)) for b in backends)])
    return rows


def table(model, kind=None):
    """The two tables, time and memory, with what a reader needs to trust them."""
    at = {(c["workload"], c["backend"]): c for c in model["cells"]}
    backends, base = shown_backends(model), model["baseline"]
    classes = list(dict.fromkeys(w["class"] for w in model["workloads"]))
    if kind and kind not in classes:
        raise Trouble(f"results/{model['name']}: no workload of class {kind}; there are: {', '.join(classes)}")
    model = {**model, "workloads": [w for w in model["workloads"] if kind in (None, w["class"])]}
    time_rows = [[w["name"] + (" **NOISY**" if w["noisy"] else ""), *(time_cell(at[w["name"], b]) for b in backends),
                  "" if w["noise_floor"] is None else f"±{w['noise_floor']:.1%}"] for w in model["workloads"]]
    if kind:
        time_rows += [[*row, ""] for row in mean_rows(model, "time", classes, backends)]
    memory_rows = [[w["name"], *(footprint_cell(at[w["name"], b]) for b in (base, *backends))] for w in model["workloads"]
                   if any(at[w["name"], b]["footprint"] for b in (base, *backends))]
    where = (f"{model['created'][:10]}, {model['context'].get('cpu_model', 'unknown CPU')} × {model['num_cpus'] or '?'}, "
             f"{model['context'].get('distribution', 'unknown system')}, {model['rounds']} rounds")
    versions = ", ".join(f"{b['name']} {words.version(b)}".strip() for b in model["backends"] if b["name"] != "null")
    parts = [f"Time relative to {base} (median of paired rounds, exact {model['confidence']:.0%} interval; less is faster; "
             "the last column is the baseline against itself):", "",
             aligned(["workload", *backends, "noise"], time_rows, ["workload"])]
    if memory_rows:
        parts += ["Resident over requested bytes when most was live (less than 1: not all of it was touched):", "",
                  aligned(["workload", base, *backends], memory_rows, ["workload"])]
    parts.append(f"{where}; {versions}. All of it: [results/{model['name']}](results/{model['name']}/table.md), "
                 f"[the page](results/{model['name']}/report.html).\n")
    return "\n".join(parts)


def rewritten(text, results, name="the document"):
    """The document with every block made again from the folders under `results`."""
    begins, ends = text.count("<!-- results:begin"), text.count("<!-- results:end -->")
    found = BLOCK.findall(text)
    if not begins and not ends:
        raise Trouble(f"{name}: no markers: write a line <!-- results:begin NAME -->, NAME being a folder of results/, and "
                      "under it a line <!-- results:end -->")
    if not begins == ends == len(found):
        raise Trouble(f"{name}: each <!-- results:begin NAME --> needs a NAME, a line of its own, and its <!-- results:end -->")

    def make(match):
        folder = store.Folder(results / match[2])
        if not folder.path.is_dir():
            raise Trouble(f"{name}: {folder.path}: no such results folder; there are: "
                          f"{', '.join(sorted(p.parent.name for p in results.glob('*/plan.json'))) or 'none'}")
        return f"{match[1]}{table(report.load(folder), match[3])}{match[5]}"
    return BLOCK.sub(make, text)


def main(argv):
    """Runs `scripts/readme-table` and returns its exit status."""
    parser = Parser(
        prog="scripts/readme-table", description="Writes the tables of published results into a document, between "
        "<!-- results:begin NAME --> and <!-- results:end -->; NAME is a folder of results/.",
        epilog="Exit status: 0 the document holds what the results hold (now); 1 --check found a difference; 2 no markers, "
               "or results that are missing or damaged.")
    parser.add_argument("document", nargs="?", type=Path, default=machine.REPOSITORY / "README.md")
    parser.add_argument("--check", action="store_true", help="change nothing; say whether it is up to date")
    parser.add_argument("--results", type=Path, default=machine.REPOSITORY / "results", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    try:
        text = options.document.read_text()
        new = rewritten(text, options.results, options.document.name)
    except OSError as error:
        print(f"readme-table: {store.explain(error, options.document)}", file=sys.stderr)
        return EXIT_TROUBLE
    except Trouble as trouble:
        print(f"readme-table: {trouble}", file=sys.stderr)
        return EXIT_TROUBLE
    if new == text:
        return EXIT_WELL
    if options.check:
        print(f"{options.document.name}: its tables are not those of results/: run scripts/readme-table", file=sys.stderr)
        return EXIT_FINDING
    store.write_atomic(options.document, new.encode())
    print(f"{options.document.name}: tables written", file=sys.stderr)
    return EXIT_WELL
