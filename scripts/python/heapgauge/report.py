"""`heapgauge report`: turns a results folder into tables, in the folder itself."""

import importlib
import sys
from pathlib import Path

from . import analysis, exporters, store
from .errors import EXIT_FINDING, EXIT_WELL, Parser, Trouble


def require():
    """Raises ModuleNotFoundError now rather than after an hour of measuring, if the page can't be written."""
    for name in ("jinja2", "matplotlib"):
        importlib.import_module(name)


def load(folder):
    """The model of a results folder. Trouble names the file that is missing, cut or edited."""
    if folder.exists("merged.json"):
        raise Trouble(f"{folder.path}: a merged folder: name one of its parts, or use `heapgauge merge`")
    plan = folder.read_json("plan.json")
    rounds = folder.read_rounds()
    verdicts = folder.read_json("verdicts.json")
    if folder.exists("context.json") or "context.json" in folder.sums:
        context = folder.read_json("context.json")
    else:
        context = {}  # the run was stopped before its first session ended
    more = {name: folder.read_json(f"{name}.json") if folder.exists(f"{name}.json") or f"{name}.json" in folder.sums else []
            for name in ("counts", "traces", "frag", "fuzz")}
    more["scaling"] = folder.read_json("scaling.json") if "scaling.json" in folder.sums else None
    more["cell_curves"] = [folder.read_json(name) for name in sorted(folder.sums) if name.startswith("curves/")]
    try:
        return analysis.build(plan, folder.read_json("backends.json"), verdicts, context, rounds,
                              name=folder.path.resolve().name, **more)
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise Trouble(f"{folder.path}: its files do not fit together ({type(error).__name__}: {error}): made "
                      "by another version of heapgauge?") from None


def publish(folder, names=None):
    """Writes the outputs (all, or those named) and returns the model."""
    model = load(folder)
    for name in names or exporters.OUTPUTS:
        if name == exporters.FIGURES:  # one whose data went away must not stay
            for stale in (folder.path / name).glob("*.svg"):
                stale.unlink()
        for path, text in exporters.files(name, model).items():
            store.write_atomic(folder.path / path, text.encode())
    return model


def table_text(model):
    """What is printed: table.md."""
    return exporters.render("table.md", model)


def main(argv):
    """Runs `heapgauge report` and returns its exit status."""
    parser = Parser(
        prog="heapgauge report", description="Writes the tables of a results folder, from its raw rounds.",
        epilog="Exit status: 0 well; 1 the results hold a finding; 2 usage, or a file that is missing, "
               "cut or edited.")
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--only", metavar="FILE", action="append", choices=list(exporters.OUTPUTS),
                        help="write only this output; may be repeated: " + ", ".join(exporters.OUTPUTS))
    parser.add_argument("--history", action="store_true", help="DIR holds results folders: writes history.html and "
                        "history.json there, every run in order, change points marked")
    parser.add_argument("--quiet", action="store_true", help="don't print the table")
    options = parser.parse_args(argv)
    if options.history:
        from . import history
        return history.main(options.folder)
    folder = store.Folder(Path(options.folder))
    if not folder.sums:
        raise Trouble(f"{options.folder}: no results here (no {store.MANIFEST}): name a folder that `heapgauge compare -o` made")
    if folder.exists("merged.json"):
        from . import merge
        model_text, findings = merge.publish(folder)
    elif folder.exists("grid.json"):
        from . import grid
        model_text, findings = grid.publish(grid.Grid(folder.path))
    else:
        model = publish(folder, options.only)
        model_text, findings = table_text(model), model["findings"]
    if not options.quiet:
        print(model_text)
    for finding in findings:
        print(f"finding: {finding}", file=sys.stderr)
    return EXIT_FINDING if findings else EXIT_WELL
