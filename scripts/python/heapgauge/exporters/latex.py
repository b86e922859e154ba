r"""table.tex: a tabular for \usepackage{booktabs}, to be \input from a paper."""

import re

from . import words

SPECIAL = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
           "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def escape(text):
    """Text as LaTeX shows it."""
    return re.sub(r"[\\&%$#_{}~^]", lambda m: SPECIAL[m[0]], str(text))


def render(model):
    """The whole tabular; NOISY stands in a comment and in the table."""
    base = escape(model["baseline"])
    lines = ["% Made by heapgauge report. Needs \\usepackage{booktabs}.", r"\begin{tabular}{llrlrrr}", r"\toprule",
             rf"Workload & Backend & Time / {base} & Verdict & ns/op & RSS / live & Peak RSS (MiB) \\"]
    for workload in model["workloads"]:
        lines.append(r"\midrule")
        label = escape(workload["name"]) + (r" \textbf{NOISY}" if workload["noisy"] else "")
        for cell in words.cells_of(model, workload["name"]):
            lines.append(" & ".join([label, escape(words.shown_name(cell)), *numbers(cell)]) + r" \\")
            label = ""
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def numbers(cell):
    """The columns after the names."""
    if cell["status"] != "ok":
        return ["--", escape(cell["status"]), "--", "--", "--"]
    ratio = cell["time_ratio"]
    word = ratio["word"] if ratio else ("baseline" if cell["role"] == "baseline" else "no baseline")
    shown = words.ratio(ratio) if ratio else ("1" if cell["role"] == "baseline" else "--")
    return [shown, word, words.number(cell["time"]["median"]),
            f"{cell['footprint']['median']:.2f}" if cell["footprint"] else "--",
            words.mebibytes(cell["rss_peak_bytes"]) or "--"]
