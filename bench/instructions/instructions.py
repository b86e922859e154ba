"""heapgauge bench --instructions: figures that repeat on a noisy machine: instructions (callgrind), system calls
(strace) and page faults per operation. Each cell is run twice, short and long; the difference divided by the
difference in operations has no start-up in it.

    instructions.py BACKENDS [--benchmark_filter=REGEX] [--json=FILE] [--ops=SHORT,LONG]"""
import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

DEFAULT_FILTER = r"^(pair/size:64|churn/live:1000/size_max:1024|aligned/align:64/size:200)$"


class Failed(Exception):
    """A cell didn't run; the text says why."""


def cell(program, workload, backend, ops, wrapper=()):
    """The cell's result, run under `wrapper`."""
    # What the program would re-execute itself for, given beforehand: so that a process is one process.
    tunables = os.environ.get("GLIBC_TUNABLES") or "glibc.rtld.optional_static_tls=16384"
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        done = subprocess.run([*wrapper, program, "cell", workload, f"--backend={backend}",
                               f"--json={out.name}", f"--ops={ops}"], capture_output=True, text=True,
                              env={**os.environ, "GLIBC_TUNABLES": tunables})
        text = open(out.name).read()
    if done.returncode or not text:
        lines = done.stderr.strip().splitlines()
        raise Failed(lines[-1] if lines else f"exit status {done.returncode}")
    result = json.loads(text)
    if result["status"] != "ok":
        raise Failed(f"{result['status']}: {result['detail']}")
    return result


def children(pattern):
    """The files that a tracer wrote, one a process, without that of the first: the one that waits."""
    def pid(path):
        return int(path.rsplit(".", 1)[1])
    return sorted(glob.glob(pattern), key=pid)[1:]


def count_instructions(program, workload, backend, ops):
    with tempfile.TemporaryDirectory() as folder:
        result = cell(program, workload, backend, ops,
                      ("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out.%p"))
        texts = [open(path).read() for path in children(f"{folder}/out.*")]
    totals = [int(m.group(1)) for text in texts if (m := re.search(r"^(?:totals|summary): (\d+)", text, re.M))]
    if not totals:
        raise Failed("callgrind wrote no totals")
    return max(totals), result["operations_asked"]


def count_system_calls(program, workload, backend, ops):
    with tempfile.TemporaryDirectory() as folder:
        result = cell(program, workload, backend, ops, ("strace", "-ff", "-qq", "-o", f"{folder}/out"))
        calls = sum(len(open(path).readlines()) for path in children(f"{folder}/out.*"))
    return calls, result["operations_asked"]


def count_faults(program, workload, backend, ops):
    result = cell(program, workload, backend, ops)
    return result["minor_faults"], result["operations_asked"]


def per_operation(count, ops, *words):
    """Slope between a short and a long run."""
    short, short_ops = count(*words, ops[0])
    long, long_ops = count(*words, ops[1])
    return (long - short) / (long_ops - short_ops)


def figure(tool, count, ops, *words):
    """(number or None, what went wrong or '')"""
    if tool and not shutil.which(tool):
        return None, f"{tool} is absent (apt-get install {tool})"
    try:
        return per_operation(count, ops, *words), ""
    except Failed as why:
        return None, str(why)


def names(program, pattern):
    listed = subprocess.run([program, "bench", "--backend=null", "--benchmark_list_tests"],
                            capture_output=True, text=True, check=True).stdout.split()
    plain = [line.replace("/backend:null", "") for line in listed]
    return [name for name in plain if re.search(pattern, name)]


def backends_of(program, text):
    if text != "all":
        return text.split(",")
    listed = subprocess.run([program, "backends", "--json"], capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout.startswith(("{", "[")):
        rows = json.loads(listed.stdout)
        rows = rows["backends"] if isinstance(rows, dict) else rows
        return [row["name"] for row in rows if row.get("available", True)]
    return ["core", "system", "jemalloc", "mimalloc", "tcmalloc", "null"]


def arguments(words):
    parser = argparse.ArgumentParser(prog="heapgauge bench --instructions", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backends")
    parser.add_argument("--benchmark_filter", default=DEFAULT_FILTER,
                        help="instances, named without their backend")
    parser.add_argument("--json", help="write the figures there as well")
    parser.add_argument("--ops", default="2000,12000", help="iterations of the two runs")
    options = parser.parse_args(words)
    options.program = os.environ["HEAPGAUGE"]  # the program that started us says so
    return options


def as_text(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def main(words):
    options = arguments(words)
    ops = [int(n) for n in options.ops.split(",")]
    chosen = names(options.program, options.benchmark_filter)
    if not chosen:
        print("heapgauge bench: no workload matches", file=sys.stderr)
        return 2
    rows, troubles = [], {}
    print(f"{'workload':36} {'backend':10} {'instructions':>13} {'system calls':>13} {'page faults':>12}"
          "   per operation")
    for workload in chosen:
        for backend in backends_of(options.program, options.backends):
            words = (options.program, workload, backend)
            row = {"workload": workload, "backend": backend}
            for key, tool, count in (("instructions_per_op", "valgrind", count_instructions),
                                     ("system_calls_per_op", "strace", count_system_calls),
                                     ("page_faults_per_op", None, count_faults)):
                row[key], trouble = figure(tool, count, ops, *words)
                if trouble:
                    where = f"{key}" if "absent" in trouble else f"{key} of {workload} on {backend}"
                    troubles[where] = trouble
            rows.append(row)
            print(f"{workload:36} {backend:10} {as_text(row['instructions_per_op'], 1):>13} "
                  f"{as_text(row['system_calls_per_op'], 4):>13} {as_text(row['page_faults_per_op'], 4):>12}",
                  flush=True)
    for where, trouble in troubles.items():
        print(f"no {where}: {trouble}")
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"instructions_version": 1, "ops": ops, "rows": rows, "missing": troubles}, out, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
