"""Writers of tables: one file an exporter, each a function from the model to text.

To add one: write a module with `render(model) -> str` and list it here.
Exporters compute nothing: every number they show is in the model (the page computes again from its samples).
"""

from importlib import import_module

# output file -> module. The order is the order of writing.
EXPORTERS = {
    "results.json": "results_json",
    "table.md": "markdown",
    "table.csv": "csv_table",
    "table.tex": "latex",
    "report.html": "page",
    "google-benchmark.json": "google_benchmark",
    "dashboard.json": "dashboard",
    "bencher.json": "bencher",
    "action-benchmark.json": "action_benchmark",
}
FIGURES = "figures"  # a folder of them
OUTPUTS = (*EXPORTERS, FIGURES)


def files(name, model):
    """file name -> text, of one output: a file, or all figures."""
    if name == FIGURES:
        return import_module(".figures", __name__).render(model)
    return {name: render(name, model)}


def render(file_name, model):
    """The text of one output file."""
    return import_module(f".{EXPORTERS[file_name]}", __name__).render(model)
