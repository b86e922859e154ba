"""What the blocks of a grid say together. Memory is that of one block, whatever their number.

A ratio is taken within a round, so on one node. Nodes of one kind (processor, count of processors) are put together,
kinds never. From twelve nodes of a kind on the unit of replication is the node: all its rounds are one value, and the
interval holds for another such node. With fewer it is the round, as in a comparison on one machine, and says nothing
about other nodes. The table says which it is.
"""

import math
from pathlib import Path

from . import analysis, stats, store
from .errors import Trouble
from .exporters import words
from .exporters.markdown import aligned
from .plan import SEEDED

NODES_MIN = 12  # six values have an interval of 95 %, twelve can also stand adjustment for a table of comparisons
QUANTITIES = {"time": ("seconds", ("faster", "slower")), "footprint": ("footprint_overhead", ("smaller", "larger"))}


def round_logs(mine, baseline, key):
    """The log-ratio of each of a block's rounds; empty without a pair."""
    candidate, base = analysis.paired(mine, baseline, key)
    if not candidate or min(candidate) <= 0 or min(base) <= 0:
        return []
    return stats.log_ratios(candidate, base)


def read(path):
    """One block: its node, its kind, its values and failures. Trouble if it is cut or edited."""
    folder = store.Folder(path)
    plan, rounds, context = folder.read_json("plan.json"), folder.read_rounds(), folder.read_json("context.json")
    if len(rounds) < plan["rounds"]:
        raise Trouble(f"{path}: {len(rounds)} of {plan['rounds']} rounds")
    facts = context["context"]
    samples = analysis.gather(rounds)
    values, failed = {}, {}
    for (workload, entry), mine in samples.items():
        status, detail = analysis.cell_status(mine, None, len(rounds))
        if status != "ok":
            failed[workload, entry] = f"{status}: {detail}" if detail else status
            continue
        baseline = samples.get((workload, plan["baseline"]), [])
        for quantity, (key, _) in QUANTITIES.items():
            logs = round_logs(mine, baseline, key)
            if logs:
                values[workload, entry, quantity] = logs
    return {"block": int(Path(path).name), "node": facts.get("node") or facts.get("host_name", "?"),
            "kind": f"{facts.get('cpu_model', 'unknown CPU')} × {context.get('num_cpus') or '?'}", "rounds": len(rounds),
            "job": facts.get("job"), "restarts": facts.get("restarts"), "kernel": facts.get("kernel"),
            "values": values, "failed": failed}


def per_node(pairs):
    """[(node, logs of a block)] -> a value a node: the median of all its rounds."""
    by_node = {}
    for node, logs in pairs:
        by_node.setdefault(node, []).extend(logs)
    return {node: stats.median(found) for node, found in by_node.items()}


def estimate(pairs):
    """Of [(node, log-ratios of a block's rounds)]: the ratio, its interval, and over what that is."""
    nodes = per_node(pairs)
    unit = "nodes" if len(nodes) >= NODES_MIN else "rounds"
    logs = list(nodes.values()) if unit == "nodes" else [log for _, found in pairs for log in found]
    ratio = stats.paired_ratio([math.exp(log) for log in logs], [1.0] * len(logs))
    return {"value": ratio.value, "low": ratio.low, "high": ratio.high, "p": ratio.p, "pairs": ratio.count, "unit": unit,
            "nodes": len(nodes), "blocks": len(pairs),
            "spread_over_nodes": math.exp(max(nodes.values()) - min(nodes.values())) if len(nodes) > 1 else None}


class Kind:
    """The blocks of all nodes of one kind."""

    def __init__(self, name):
        self.name, self.blocks, self.pairs, self.failed = name, [], {}, {}

    def add(self, block):
        self.blocks.append({k: block[k] for k in ("block", "node", "rounds", "job", "restarts", "kernel")})
        for key, value in block["values"].items():
            self.pairs.setdefault(key, []).append((block["node"], value))
        for key, text in block["failed"].items():
            self.failed.setdefault(key, []).append((block["node"], text))

    def model(self, plan, barred):
        """The kind's part of the model: every cell with its status and ratios."""
        control = next(e["name"] for e in plan["entries"] if e["role"] == "control")
        cells = []
        for workload in plan["workloads"]:
            name = workload["name"]
            noise = self.pairs.get((name, control, "time"))
            floor = stats.noise_floor(analysis.as_estimate(estimate(noise))) if noise else None
            for entry in plan["entries"]:
                if entry["role"] in ("backend", "control"):
                    cells.append(self.cell(name, entry, barred, floor))
        for quantity in QUANTITIES:
            self.judge(cells, quantity)
        nodes = {b["node"] for b in self.blocks}
        return {"kind": self.name, "nodes": len(nodes), "blocks": self.blocks,
                "rounds": sum(b["rounds"] for b in self.blocks), "cells": cells}

    def cell(self, workload, entry, barred, floor):
        found = {"workload": workload, "backend": entry["name"], "role": entry["role"], "status": "ok", "detail": "",
                 "noise_floor": floor, "time_ratio": None, "footprint_ratio": None}
        if (workload, entry["name"]) in barred:
            found.update(status="broken", detail=barred[workload, entry["name"]])
        elif (workload, entry["name"]) in self.failed:
            failures = self.failed[workload, entry["name"]]
            found.update(status="failed", detail=f"in {len(failures)} of {len(self.blocks)} blocks, first on {failures[0][0]}: "
                                                 f"{failures[0][1]}")
        else:
            for quantity in QUANTITIES:
                pairs = self.pairs.get((workload, entry["name"], quantity))
                found[f"{quantity}_ratio"] = estimate(pairs) if pairs else None
            if not found["time_ratio"]:
                found.update(status="not-measured")
        return found

    @staticmethod
    def judge(cells, quantity):
        key, family = f"{quantity}_ratio", []
        for cell in cells:
            if cell[key]:
                family.append(cell)
        for cell, p in zip(family, stats.holm([c[key]["p"] for c in family])):
            floor = cell["noise_floor"] if quantity == "time" and cell["role"] == "backend" else None
            word = stats.verdict_word(analysis.as_estimate(cell[key]), p, floor, words=QUANTITIES[quantity][1])
            if cell["role"] == "control":
                word = "NOISY" if word in QUANTITIES[quantity][1] else "agrees"
            cell[key].update(p_holm=p, word=word)


def build(tasks, plan, verdicts, counts, backends, grid):
    """The model of all blocks under `tasks`, read one by one."""
    kinds = {}
    for path in sorted(Path(tasks).glob("[0-9]*")):
        block = read(path)
        kinds.setdefault(block["kind"], Kind(block["kind"])).add(block)
    barred = {(v["workload"], v["backend"]): f"{v['verdict']} {v.get('item') or ''} {v.get('detail') or ''}".strip()
              for v in verdicts if v["verdict"] != "clean" and v["workload"] != SEEDED}
    barred.update({(c["workload"], c["backend"]): c["detail"] for c in counts if c["status"] in ("invalid", "unsupported")})
    found = [kind.model(plan, barred) for kind in kinds.values()]
    findings = [f"{kind['kind']}: {c['workload']} on {c['backend']}: {c['status']}: {c['detail']}"
                for kind in found for c in kind["cells"] if c["status"] in ("broken", "failed")]
    findings += [f"{kind['kind']}: {c['workload']}: the baseline differs from itself" for kind in found
                 for c in kind["cells"] if c["role"] == "control" and c["time_ratio"] and c["time_ratio"]["word"] == "NOISY"]
    return {"grid_results_version": 1, "baseline": plan["baseline"], "created": plan["created"], "command": plan["command"],
            "seed": plan["seed"], "blocks_asked": grid["blocks"], "backends": backends, "kinds": found, "findings": findings}


# ---- the table ----

def interval_note(kind, baseline):
    """What the table's numbers are, in words."""
    if kind["nodes"] >= NODES_MIN:
        unit = (f"shown is the median over {kind['nodes']} nodes of each node's median, with its exact 95% interval over "
                "nodes: it holds for another node of this kind")
    else:
        unit = (f"shown is the median over {kind['rounds']} rounds, with its exact 95% interval over rounds: it holds for "
                f"{'this node' if kind['nodes'] == 1 else 'these nodes'}, not for others (that takes {NODES_MIN} nodes)")
    return (f"Time and resident memory relative to {baseline}. A ratio is taken within a round, so on one node, never across "
            f"nodes; {unit}. Between nodes: how far the nodes' own medians lie apart. Noise: the baseline against itself.")


def shown(block):
    return f"{words.ratio(block)} {block['word']}" if block else ""


def table(model):
    """table.md of a grid."""
    lines = [f"# A grid of {sum(len(k['blocks']) for k in model['kinds'])} blocks", ""]
    served = "; ".join(f"{b['name']} {words.version(b)}".strip() for b in model["backends"] if b["name"] != "null")
    lines += [f"{model['created'][:10]} · backends: {served} · order seed {model['seed']} + block number", ""]
    for kind in model["kinds"]:
        lines += [f"## {kind['kind']}: {kind['nodes']} node{'s' if kind['nodes'] > 1 else ''}, {len(kind['blocks'])} blocks, "
                  f"{kind['rounds']} rounds", "", interval_note(kind, model["baseline"]), ""]
        header = ["workload", "backend", "time", "footprint", "between nodes", "noise"]
        rows = []
        for cell in kind["cells"]:
            ratio, noise = cell["time_ratio"], cell["noise_floor"]
            spread = ratio and ratio["spread_over_nodes"]
            rows.append([cell["workload"], words.shown_name(cell), shown(ratio) or words.excluded(cell),
                         shown(cell["footprint_ratio"]), f"±{(math.sqrt(spread) - 1) * 100:.1f}%" if spread else "",
                         f"±{noise * 100:.1f}%" if noise is not None else ""])
        lines += [aligned(header, rows, ("workload", "backend"))]
    asked, there = model["blocks_asked"], sum(len(k["blocks"]) for k in model["kinds"])
    if there < asked:
        lines += [f"{asked - there} of {asked} blocks are missing."]
    return "\n".join(lines)
