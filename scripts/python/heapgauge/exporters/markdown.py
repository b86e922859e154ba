"""table.md: for a README or a terminal. Numbers, intervals and words; no shades."""

from . import words

COLUMNS = ("workload", "backend", "time / {baseline}", "verdict", "ns/op", "allocator's share",
           "rss / live", "peak RSS, MiB")
LEFT = ("workload", "backend", "verdict")


def render(model):
    """The whole document."""
    parts = [heading(model), noise(model), main_table(model), means_table(model), exclusions(model), frag_table(model),
             scaling_table(model), promises(model), fuzz_table(model), reading_guide(model)]
    return "\n".join(part for part in parts if part)


def aligned(header, rows, left):
    """A Markdown table whose columns also line up in a terminal."""
    rows = [[str(c).replace("|", "\\|") for c in row] for row in rows]
    widths = [max(len(header[i]), *(len(r[i]) for r in rows)) for i in range(len(header))]

    def line(cells):
        return "| " + " | ".join(c.ljust(w) if h in left else c.rjust(w)
                                 for c, w, h in zip(cells, widths, header)) + " |"

    rule = "|" + "|".join(":" + "-" * (w + 1) if h in left else "-" * (w + 1) + ":"
                          for w, h in zip(widths, header)) + "|"
    return "\n".join([line(header), rule, *(line(r) for r in rows)]) + "\n"


def heading(model):
    """What was measured, where."""
    context = model["context"]
    served = "; ".join(f"{b['name']} {words.version(b)}".strip() for b in model["backends"] if b["name"] != "null")
    lines = [f"# {model['name'] or 'Results'}", "",
             f"{model['created'][:10]} · {context.get('cpu_model', 'unknown CPU')} × {model['num_cpus'] or '?'} · "
             f"{context.get('distribution', 'unknown system')} · {context.get('kernel', 'unknown kernel')}",
             f"Backends: {served}.",
             f"{model['rounds']} rounds, order seed {model['seed']}."]
    if busy(model):
        lines.append(f"The machine was busy: load {busy(model):.1f} before it began, on {model['num_cpus']} processors: "
                     "expect wide intervals.")
    for gone in model["unavailable"]:
        package = f" (`apt-get install {gone['package']}`)" if gone.get("package") else ""
        lines.append(f"Left out: {gone['name']}: {gone['why']}{package}.")
    return "\n".join(lines) + "\n"


def busy(model):
    """The highest load average before a session of measuring, if it left no processor for us; else None."""
    loads = [s["before"]["load_average"][0] for s in model["sessions"] if s["before"]["load_average"]]
    highest = max(loads, default=0)
    return highest if highest > (model["num_cpus"] or 1) / 2 else None


def noise(model):
    """The noise floor, and the stamp if the machine was not to be trusted."""
    if model["noisy"]:
        rows = ", ".join(w["name"] for w in model["workloads"] if w["noisy"])
        return (f"**NOISY**: on {rows} the baseline differs from itself. Its rows prove nothing; run again on a "
                "quieter machine (`heapgauge doctor` says what disturbs).\n")
    if model["noise_floor"] is None:
        return "Too few rounds for intervals: at least 6 are needed (`--resume --rounds=N` adds some).\n"
    return words.noise_floor(model) + "\n"


def main_table(model):
    """One row a cell."""
    header = [c.format(baseline=model["baseline"]) for c in COLUMNS]
    rows = []
    for workload in model["workloads"]:
        label = workload["name"]  # only in the first of its rows
        for cell in words.cells_of(model, workload["name"]):
            rows.append([label, words.shown_name(cell), *numbers(cell)])
            label = ""
    return aligned(header, rows, LEFT)


def numbers(cell):
    """The columns after the names."""
    if cell["status"] != "ok":
        return ["", cell["status"], "", "", "", ""]
    if cell["role"] == "baseline":
        ratio, word = "1", "baseline"
    elif cell["time_ratio"]:
        ratio, word = words.ratio(cell["time_ratio"]), cell["time_ratio"]["word"]
    else:
        ratio, word = "", "no baseline"
    footprint = cell["footprint"]
    return [ratio, word, words.number(cell["time"]["median"]), words.percent(cell["share"]),
            f"{footprint['median']:.2f}" if footprint else "", words.mebibytes(cell["rss_peak_bytes"])]


def means_table(model):
    """Geometric means per class of workload; of one workload there is nothing to average."""
    means = [m for m in model["means"] if len(m["workloads"]) + len(m["excluded"]) > 1]
    if not means:
        return ""
    header = ["geometric mean", "class", "backend", f"/ {model['baseline']}", "workloads", "left out"]
    rows = []
    for mean in means:
        gone = ", ".join(f"{e['workload']} ({e['why']})" for e in mean["excluded"])
        rows.append([mean["quantity"], mean["class"], mean["backend"], words.ratio(mean),
                     str(len(mean["workloads"])), gone])
    return aligned(header, rows, ("geometric mean", "class", "backend", "left out"))


def exclusions(model):
    """Cells without a number, each with what it is."""
    gone = [c for c in model["cells"] if c["status"] != "ok" and c["role"] != "control"]
    if not gone:
        return ""
    lines = [f"- {c['backend']} on {c['workload']}: {words.excluded(c)}" for c in gone]
    return "Without a number:\n\n" + "\n".join(lines) + "\n"


def frag_table(model):
    """Fragmentation: every adversary on every backend."""
    if not model["frag"]:
        return ""
    header = ["adversary", "backend", "rss / live", "internal", "external", "worst", "peak rss / peak live", "bound: forced",
              "bound: first fit", "kept after 1 s"]
    rows = [words.frag_cells(row) for row in model["frag"]]
    return ("Fragmentation (`heapgauge frag`): resident over live bytes when most was live, its parts (usable but not "
            "requested; the rest), the worst moment, Robson's bounds, and what is still resident after everything was "
            "freed, as a share of the peak:\n\n" + aligned(header, rows, ("adversary", "backend")))


def scaling_table(model):
    """Cost against live blocks, sizes and threads: both ends of each curve and its exponent."""
    rows = [words.scaling_cells(curve) for curve in words.scaling_curves(model)]
    if not rows:
        return ""
    header = ["against", "backend", "ns/op, least", "ns/op, most", "exponent"]
    return (f"Scaling (`heapgauge bench --scaling`): ns of processor time per operation at both ends, and the fitted exponent "
            f"with its interval, {model['scaling']['rounds']} rounds. 0: the cost does not grow; 1: as x does. On threads it is "
            f"that of all operations per second up to {model['scaling']['processors']} threads, where 1 is what one would "
            "like:\n\n" + aligned(header, rows, ("against", "backend")))


def fuzz_table(model):
    """What the fuzzer found: a row for each backend and target that ran."""
    rows = [words.fuzz_cells(row) for row in model["fuzz"] if row.get("run", True)]
    if not rows:
        return ""
    header = ["backend", "target", "operations", "checks", "CPU s", "found"]
    return "The fuzzer (`heapgauge fuzz`):\n\n" + aligned(header, rows, ("backend", "target", "found"))


def promises(model):
    """What the oracle says of each backend on random operations, which ask for more than most programs."""
    clean = [v["backend"] for v in model["seeded_verdicts"] if v["verdict"] == "clean"]
    lines = [f"- clean: {', '.join(clean)}"] if clean else []
    for verdict in model["seeded_verdicts"]:
        if verdict["verdict"] != "clean":
            item = f" {verdict['item']}" if verdict["item"] else ""
            lines.append(f"- {verdict['backend']}: {verdict['verdict']}{item}: {verdict['detail']}")
    if not lines:
        return ""
    return (f"The oracle on a stream of random operations (`heapgauge check --seed={model['seed']} --threads=2`), "
            "which ask for more than these workloads may:\n\n" + "\n".join(lines) + "\n")


def reading_guide(model):
    """How to read the table, in a few lines."""
    base = model["baseline"]
    return (
        f"Time / {base}: median over rounds of the ratio within a round, with its exact "
        f"{model['confidence']:.0%} interval; below 1 is faster. faster and slower are proven (Holm-adjusted, "
        f"beyond the noise floor); equivalent is within ±{model['equivalence_margin']:.0%}; inconclusive is "
        "neither.\nAllocator's share: time not spent by the harness itself, measured with a backend that "
        "does nothing (a lower bound, its two calls included).\nrss / live: resident memory over bytes requested, at the moment most was live, idle "
        "process subtracted; empty where too little was live to say.\n"
        f"Made by `{model['command']}`; raw data in rounds/, every number in results.json.\n")
