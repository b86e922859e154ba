"""report.html: the page. One file with everything in it: template, style, scripts, chart library, data.

What it shows of a cell is computed in the page, from the raw samples that it carries; page/ holds its parts.
"""

import json
from pathlib import Path

from . import words

HERE = Path(__file__).resolve().parents[1]
PAGE = HERE / "page"
CHARTS = HERE / "vendor/chart.umd.min.js"
COLUMNS = ("round", "position", "seconds", "cpu_seconds", "operations_counted", "minor_faults", "threads",
           "live_peak_bytes", "rss_baseline_bytes", "rss_at_live_peak_bytes", "rss_peak_bytes", "rss_end_bytes")
CELL_KEYS = ("workload", "backend", "role", "status", "detail", "verdict", "verdict_item", "command", "latency_ns",
             "footprint_over_time")
CURVE_POINTS = 48
MODEL_KEYS = ("name", "command", "created", "baseline", "seed", "rounds", "confidence", "equivalence_margin", "noisy",
              "noise_floor", "workloads", "entries", "means", "seeded_verdicts", "traces", "frag", "num_cpus",
              "scaling")


def render(model):
    """The whole page."""
    return template("results.html").render(
        model=model, facts=facts(model), backends=backends(model), style=part(PAGE / "page.css"),
        charts=part(CHARTS), scripts=part(PAGE / "stats.js") + part(PAGE / "page.js"), data=embedded(data(model)),
        words=words) + "\n"


def render_history(history, lines):
    """history.html, by the same means."""
    return template("history.html").render(history=history, lines=lines, style=part(PAGE / "page.css"), charts=part(CHARTS),
                                           scripts=part(PAGE / "history.js"), data=embedded(history)) + "\n"


def template(name):
    """One of the templates in page/."""
    import jinja2  # slow to import, and needed here only

    return jinja2.Environment(loader=jinja2.FileSystemLoader(PAGE), autoescape=True, trim_blocks=True, lstrip_blocks=True,
                              undefined=jinja2.StrictUndefined).get_template(name)


def part(path):
    """A script or style sheet as it may stand inside the page."""
    text = path.read_text()
    assert "</script" not in text.lower() and "</style" not in text.lower(), path
    return text


def embedded(value):
    """JSON that can't end the element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def data(model):
    """What the page computes from: the model without its derived numbers, samples as columns."""
    found = {key: model[key] for key in MODEL_KEYS}
    found["cells"] = [{**{key: cell.get(key) for key in CELL_KEYS}, "samples": columns(cell["samples"]),
                       "footprint_over_time": thinned(cell.get("footprint_over_time"))} for cell in model["cells"]]
    found["frag"] = [{**row, "curve": thinned(row.get("curve"))} for row in model["frag"]]
    return found


def thinned(curve):
    """A curve of memory with as many points as a chart can show: every n-th, the greatest, the last. curves/ has all."""
    if not curve:
        return curve
    rss = curve["rss_bytes"]
    step = -(-len(rss) // CURVE_POINTS) or 1
    peak = max(range(len(rss)), key=rss.__getitem__, default=0)
    kept = [i for i in range(len(rss)) if i % step == 0 or i in (peak, len(rss) - 1)]
    return {key: [values[i] for i in kept] for key, values in curve.items()}


def columns(samples):
    """name -> one value a sample, or the value alone where all are the same."""
    found = {"count": len(samples)}
    for key in (*COLUMNS, "status"):
        values = [sample.get(key) for sample in samples]
        if key == "cpu_seconds":  # beside the time measured: to a microsecond
            values = [value if value is None else round(value, 6) for value in values]
        if any(value is not None for value in values):
            found[key] = values if len(set(values)) > 1 else values[0]
    return found


def facts(model):
    """The machine card: (name, text) pairs, the telling ones first."""
    known = dict(model["context"])
    first = [("processor", f"{known.pop('cpu_model', 'unknown')} × {model['num_cpus'] or '?'}")]
    for session in model["sessions"]:
        before, after = session["before"]["load_average"], session["after"]["load_average"]
        if before and after:
            first.append(("load before, after", f"{before[0]:.2f}, {after[0]:.2f}"))
    for cache in model["caches"]:
        first.append((f"cache L{cache['level']} {cache['type']}", f"{cache['size'] >> 10:,} KiB, shared by {cache['num_sharing']}"))
    if "memory_bytes" in known:
        first.append(("memory", f"{int(known.pop('memory_bytes')) / (1 << 30):.1f} GiB"))
    return first + [(key.replace("_", " "), text) for key, text in known.items() if key not in ("cmdline", "seed")]


def backends(model):
    """Which file served each backend."""
    return [{"name": b["name"], "version": b.get("version") or "", "path": b.get("path") or "",
             "sha256": b.get("sha256") or "", "tunables": b.get("tunables") or ""} for b in model["backends"]]
