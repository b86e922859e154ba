"""figures/*.svg: the table as pictures, for a paper or a release note.

Each figure is there only where the results hold its data. The same model gives the same bytes. Text stays text, so
that it can be searched and set in the reader's font. Colours are Okabe and Ito's; every backend has a marker and a dash
of its own as well, and what is not proven is grey or hollow.
"""

import io
import math
import re

from . import words

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7A5195", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
DASHES = ("-", "--", ":", "-.", (0, (1, 3)), (0, (8, 2)), (0, (4, 4)), (0, (3, 1)))
GREY = "#7a8592"
PROVEN = {"faster": "#0a62a5", "smaller": "#0a62a5", "slower": "#b04a00", "larger": "#b04a00"}
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "heapgauge", "font.family": "sans-serif", "font.size": 9,
            "text.parse_math": False}
NAME_MAX = 48  # characters of a name that a label shows
PANELS_MAX = 12  # of a figure with one panel a workload; what is left out is said on it


def render(model):
    """file name -> SVG text, of every figure that has data."""
    import matplotlib  # slow to import, and needed here only

    with matplotlib.rc_context(SETTINGS):
        drawn = {name: draw(model) for name, draw in FIGURES.items()}
        found = {f"figures/{name}.svg": text(figure) for name, figure in drawn.items() if figure}
    for trace in model["traces"]:
        found[f"figures/trace-{re.sub(r'[^A-Za-z0-9._-]', '-', trace['workload'])}.svg"] = trace["picture"]
    return found


# ---- drawing ----

def new_figure(width, height):
    """A figure, in inches, without pyplot's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def text(figure):
    """The figure as SVG."""
    with io.StringIO() as out:
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        return out.getvalue()


def short(name):
    """A name as a label shows it."""
    return name if len(name) <= NAME_MAX else name[:NAME_MAX - 1] + "…"


def measured(model):
    """Names of the backends that have a column: baseline first."""
    return [e["name"] for e in model["entries"] if e["role"] in ("baseline", "backend")]


def look(model, backend):
    """How a backend looks, the same in every figure."""
    i = measured(model).index(backend)
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)],
            "linestyle": DASHES[i % len(DASHES)], "label": short(backend)}


def table(model):
    """(workload, backend) -> cell."""
    return {(c["workload"], c["backend"]): c for c in model["cells"]}


def log_axis(axes, low, high, title):
    """A logarithmic x axis of ratios with plain numbers on it, from `low` to `high` and at least 0.9 to 1.1."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set_xscale("log")
    low, high = min(0.9, low) / 1.05, max(1.1, high) * 1.05
    fine = (0.7, 0.8, 0.9, 1.1, 1.25, 1.5) if high / low < 2.5 else ()
    marks = [m for m in (*(2.0**k for k in range(-6, 7)), *fine) if low <= m <= high]
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(marks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{m:g}" for m in marks])
    axes.set_xlabel(title)


def plain_log_y(axes, marks=(1, 2, 5)):
    """A logarithmic y axis with plain numbers, at `marks` of each power of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=marks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.10g}"))


# ---- ratios with their intervals ----

def intervals(model):
    """Every ratio of time with its interval, the noise floor behind it: filled where a difference is proven."""
    at, names = table(model), measured(model)[1:]
    shown = [w for w in model["workloads"] if any(at[(w["name"], b)]["time_ratio"] for b in names)]
    if not shown:
        return None
    figure = new_figure(7.5, 1.0 + 0.12 * len(shown) * (len(names) + 1.2))
    axes = figure.add_subplot()
    seen = [1.0]
    for row, workload in enumerate(shown):
        floor = workload["noise_floor"] or 0
        axes.fill_betweenx([row - 0.45, row + 0.45], 1 / (1 + floor), 1 + floor, color="#e8eaed", linewidth=0)
        for i, backend in enumerate(names):
            block = at[(workload["name"], backend)]["time_ratio"]
            if block:
                y = row + (i - (len(names) - 1) / 2) * 0.8 / max(1, len(names))
                seen += draw_interval(axes, y, block, look(model, backend))
    axes.axvline(1, color="#5a6675", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [short(w["name"]) + (" (NOISY)" if w["noisy"] else "") for w in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    log_axis(axes, min(seen), max(seen), f"time / {model['baseline']} (left is faster; grey: noise floor; hollow: not proven)")
    legend(figure, model, names)
    return figure


def draw_interval(axes, y, block, style):
    """One ratio; returns its extremes."""
    proven = block["word"] in PROVEN
    low, high = (block["value"] if block[k] is None else block[k] for k in ("low", "high"))
    axes.plot([low, high], [y, y], color=style["color"], linewidth=1.2)
    axes.plot([block["value"]], [y], marker=style["marker"], color=style["color"], markersize=4.5,
              markerfacecolor=style["color"] if proven else "white", linestyle="none")
    return [low, high]


def legend(figure, model, names):
    """One entry a backend, in a strip kept free above everything else."""
    from matplotlib.lines import Line2D

    made = [Line2D([], [], markersize=5, **look(model, name)) for name in names]
    figure.legend(handles=made, loc="upper left", borderaxespad=0.3, ncols=min(7, len(made)), frameon=False)
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))


# ---- heat map ----

def heat(model, quantity="time"):
    """Ratios as numbers; blue proven better, orange proven worse, grey nothing proven."""
    at, names = table(model), measured(model)[1:]
    shown = [w for w in model["workloads"] if any(at[(w["name"], b)][f"{quantity}_ratio"] for b in names)]
    if not shown:
        return None
    figure = new_figure(max(5.5, 2.8 + 0.95 * len(names)), 0.8 + 0.24 * len(shown))
    axes = figure.add_subplot()
    for row, workload in enumerate(shown):
        for column, backend in enumerate(names):
            draw_square(axes, column, row, at[(workload["name"], backend)], quantity)
    axes.set_xlim(0, len(names))
    axes.set_ylim(len(shown), 0)
    axes.set_xticks([i + 0.5 for i in range(len(names))], [short(name) for name in names])
    axes.set_yticks([i + 0.5 for i in range(len(shown))], [short(w["name"]) for w in shown])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    better, worse = ("faster", "slower") if quantity == "time" else ("smaller", "larger")
    what = "time" if quantity == "time" else "resident / live"
    axes.set_xlabel(f"{what} / {model['baseline']}\n◂ proven {better}, ▸ proven {worse}, grey: nothing proven")
    return figure


def heat_memory(model):
    """As heat, of the footprint."""
    return heat(model, "footprint")


def draw_square(axes, column, row, cell, quantity):
    """One square of the heat map."""
    block = cell[f"{quantity}_ratio"]
    word = block["word"] if block else None
    depth = min(1, abs(math.log2(block["value"])) / 2) if block else 0  # full colour at a factor of 4
    if word in ("faster", "smaller"):
        fill, mark = mix("#e2effa", "#9ccbf2", depth), "◂ "
    elif word in ("slower", "larger"):
        fill, mark = mix("#fdecde", "#f5aa72", depth), "▸ "
    else:
        fill, mark = "#eceff1" if block else "white", ""
    axes.fill_between([column + 0.02, column + 0.98], row + 0.03, row + 0.97, color=fill, linewidth=0)
    said = f"{mark}{block['value']:.3f}" if block else (cell["status"] if cell["status"] != "ok" else "–")
    axes.text(column + 0.5, row + 0.5, said, ha="center", va="center", fontsize=8 if block else 7)


def mix(start, end, depth):
    """A colour between two, as #rrggbb."""
    parts = [(int(start[i:i + 2], 16), int(end[i:i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * depth):02x}" for a, b in parts)


# ---- speed against memory ----

def front(model):
    """Geometric means of time and footprint, one panel a class: who is beaten on both by nobody."""
    panels = []
    for kind in dict.fromkeys(m["class"] for m in model["means"]):
        means = {(m["quantity"], m["backend"]): m["value"] for m in model["means"] if m["class"] == kind}
        points = {b: (means[("time", b)], means[("footprint", b)]) for b in measured(model)[1:]
                  if ("time", b) in means and ("footprint", b) in means}
        if points:
            panels.append((kind, {model["baseline"]: (1.0, 1.0), **points}))
    if not panels:
        return None
    figure = new_figure(3.6 * len(panels), 3.2)
    for i, (kind, points) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        for backend, (x, y) in points.items():
            style = look(model, backend)
            axes.plot([x], [y], marker=style["marker"], color=style["color"], linestyle="none", markersize=7)
            axes.annotate(short(backend), (x, y), xytext=(6, 5), textcoords="offset points")
        best = sorted(p for p in points.values() if not any(beats(q, p) for q in points.values()))
        axes.plot(*zip(*best), color=GREY, linestyle="--", linewidth=1, zorder=0)
        axes.margins(x=0.35, y=0.2)
        axes.set_title(f"class {kind}", fontsize=9)
        axes.set_xlabel(f"time / {model['baseline']}")
        axes.set_ylabel(f"resident / live, to {model['baseline']}" if i == 0 else "")
    return figure


def beats(one, other):
    """True if a point is at least as good on both and better on one."""
    return one != other and one[0] <= other[0] and one[1] <= other[1]


# ---- footprint ----

def footprint(model):
    """Resident over requested bytes when most was live, with intervals."""
    at, names = table(model), measured(model)
    shown = [w["name"] for w in model["workloads"] if any(at[(w["name"], b)]["footprint"] for b in names)]
    if not shown:
        return None
    figure = new_figure(7.5, 1.0 + 0.1 * len(shown) * (len(names) + 1.5))
    axes = figure.add_subplot()
    for row, workload in enumerate(shown):
        axes.axhline(row + 0.5, color="#e8eaed", linewidth=0.8)
        for i, backend in enumerate(names):
            found, style = at[(workload, backend)]["footprint"], look(model, backend)
            if found:
                y = row + (i - (len(names) - 1) / 2) * 0.8 / len(names)
                axes.plot([found["median"]], [y], marker=style["marker"], color=style["color"], linestyle="none", markersize=5)
    axes.set_yticks(range(len(shown)), [short(name) for name in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(left=min(1.0, axes.get_xlim()[0]))
    axes.set_xlabel("resident / requested bytes when most was live (below 1: not all was touched)")
    legend(figure, model, names)
    return figure


# ---- one panel a workload ----

def panels(model, shown, draw, x_title, y_title, note=""):
    """A grid of small figures, one for each name of `shown`; `draw(axes, name, backend, style)` draws one line.
    No `x_title`: each name is its own."""
    if not shown:
        return None
    if len(shown) > PANELS_MAX:
        note = f"{note} {len(shown) - PANELS_MAX} more are on the page.".strip()
    shown = shown[:PANELS_MAX]
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure = new_figure(max(5.5, 3.1 * columns), 0.6 + 2.3 * lines)
    for i, name in enumerate(shown):
        axes = figure.add_subplot(lines, columns, i + 1)
        for backend in measured(model):
            draw(axes, name, backend, look(model, backend))
        axes.set_title(short(name) if x_title else "", fontsize=9)
        axes.set_xlabel(x_title or short(name) if i >= len(shown) - columns else "")
        axes.set_ylabel(y_title if i % columns == 0 else "")
    legend(figure, model, measured(model))
    if note:
        figure.supxlabel(note, fontsize=8)
    return figure


def with_key(model, key):
    """Workloads of which a measured backend has `key`."""
    names = measured(model)
    return [w["name"] for w in model["workloads"]
            if any(c[key] for c in words.cells_of(model, w["name"]) if c["backend"] in names)]


def latency(model):
    """Latency by percentile, both axes logarithmic: x is 1 / (1 - percentile)."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    at = table(model)

    def draw(axes, name, backend, style):
        told = at[(name, backend)]["latency_ns"] or {}
        found = sorted((1 / (1 - min(float(p), 99.99999) / 100), v) for p, v in told.items())
        if found:
            axes.plot(*zip(*found), markersize=3, linewidth=1.1, **style)
            axes.set_xscale("log")
            plain_log_y(axes, marks=(1,))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{float(f'{100 - 100 / v:.7g}'):g}%"))
            axes.xaxis.set_minor_locator(NullLocator())

    return panels(model, with_key(model, "latency_ns"), draw, "percentile", "ns")


def time_line(model):
    """Resident memory over the run; the grey line is what was live."""
    at = table(model)

    def draw(axes, name, backend, style):
        found = at[(name, backend)]["footprint_over_time"]
        if found:
            mebibytes = [v / (1 << 20) for v in found["rss_bytes"]]
            axes.plot(found["seconds"], [v / (1 << 20) for v in found["live_bytes"]], color="#c3cad1", linewidth=2, zorder=0)
            axes.plot(found["seconds"], mebibytes, linewidth=1.1, **{**style, "marker": None})

    return panels(model, with_key(model, "footprint_over_time"), draw, "seconds", "MiB", "Grey: bytes requested and not yet freed.")


def scaling(model):
    """Throughput of all threads together against their number, for workloads that were run with several numbers."""
    families = {}
    for workload in model["workloads"]:
        threads = re.search(r"/threads:(\d+)", workload["name"])
        if threads:
            families.setdefault(workload["name"].replace(threads[0], ""), {})[int(threads[1])] = workload["name"]
    families = {name: members for name, members in families.items() if len(members) > 1}
    at = table(model)

    def points(family, backend):
        cells = [(n, at[(name, backend)]) for n, name in sorted(families[family].items())]
        return [(n, 1e3 / cell["time"]["median"]) for n, cell in cells if cell["time"]]

    def draw(axes, family, backend, style):
        found = points(family, backend)
        if found:
            axes.plot(*zip(*found), markersize=4, linewidth=1.1, **style)
            axes.set_ylim(0, max(axes.get_ylim()[1] if axes.lines[1:] else 0, 1.1 * max(y for _, y in found)))
            axes.set_xticks(sorted(families[family]))
        if model["num_cpus"]:
            axes.axvline(model["num_cpus"], color="#c3cad1", linewidth=0.8, zorder=0)

    return panels(model, list(families), draw, "threads", "million operations/s", "Grey line: as many threads as processors.")


def growth(model):
    """Cost against live blocks, sizes and threads, with the fitted exponents; what is oversubscribed is shaded."""
    curves = {(c["x_label"], c["backend"]): c for c in words.scaling_curves(model)}

    def draw(axes, label, backend, style):
        found = curves.get((label, backend))
        if found:
            axes.plot([p["x"] for p in found["points"]], [p["ns_per_op"] for p in found["points"]], markersize=4, linewidth=1.1, **style)
            if found["name"] != "threads":
                axes.set_xscale("log")
                plain_log_y(axes)
                ends = [p["x"] for p in found["points"]][::max(1, len(found["points"]) // 3)]
                axes.set_xticks(ends, [f"{x:,}" for x in ends])
                axes.minorticks_off()
            else:
                axes.set_xticks([p["x"] for p in found["points"]])
                axes.axvline(model["scaling"]["processors"], color="#c3cad1", linewidth=0.8, zorder=0)

    return panels(model, list(dict.fromkeys(label for label, _ in curves)), draw, None, "ns of processor time/op",
                  "Grey line: as many threads as processors. Exponents: table.md.")


def frag(model):
    """Resident memory under each adversary, over operations."""
    rows = {(row["adversary"], row["backend"]): row["curve"] for row in model["frag"] if row.get("curve")}

    def draw(axes, adversary, backend, style):
        found = rows.get((adversary, backend))
        if found:
            for key, more in (("live_bytes", {"color": "#c3cad1", "linewidth": 2, "zorder": 0}),
                              ("rss_bytes", {**style, "marker": None, "linewidth": 1.1})):
                axes.plot(found["operation"], [v / (1 << 20) for v in found[key]], **more)

    names = list(dict.fromkeys(adversary for adversary, _ in rows))
    return panels(model, names, draw, "operations", "resident, MiB", "Grey: bytes requested and not yet freed.")


FIGURES = {"intervals": intervals, "heat": heat, "heat-memory": heat_memory, "front": front, "footprint": footprint,
           "latency": latency, "footprint-over-time": time_line, "scaling": scaling, "growth": growth, "frag": frag}
