"""heapgauge frag from outside: on null, whose answer is known (it keeps a ring of 256 KiB whatever is asked), and
on system. Nothing depends on time.

    test_frag.py PATH_OF_heapgauge"""
import json
import subprocess
import sys

ADVERSARIES = ["robson", "swiss-cheese", "size-shift", "peak-drain", "aging"]


def frag(program, *options):
    done = subprocess.run([program, "frag", *options], capture_output=True, text=True, timeout=110)
    return done.returncode, done.stdout, done.stderr


def judge(run, backend):
    """What is wrong with one run; '' if nothing is."""
    if run["status"] != "ok":
        return run["status"]
    if run["at_live_peak"]["live_bytes"] == 0 or run["operations"] == 0 or not run["samples"]:
        return "empty"
    operations = [s["operation"] for s in run["samples"]]
    if operations != sorted(operations) or operations[-1] > run["operations"]:
        return "samples are not over operations"
    if abs(run["overhead"] - run["at_live_peak"]["rss_bytes"] / run["at_live_peak"]["live_bytes"]) > 1e-9:
        return "overhead is not rss / live"
    if "internal" in run and abs(1 + run["internal"] + run["external"] - run["overhead"]) > 1e-6:
        return "the parts don't add up"
    if run["bound_first_fit"] < run["bound_forced"]:
        return "bounds crossed"
    if backend == "null" and (run["overhead"] > 0.3 or "internal" in run):
        return f"null holds {run['overhead']} of what is live, though it holds a ring"
    if backend == "system" and (run["overhead"] < 0.95 or run["overhead_worst"] < run["overhead"] - 1e-9):
        return f"system holds {run['overhead']} of what is live"
    if [r["after_s"] for r in run["retention"]] != [0, 0.1]:
        return "retention was not read at 0 and 0.1 s"
    return ""


def judge_is_awake(run):
    for spoilt in ({"status": "crashed"}, {"operations": 0}, {"samples": []}, {"overhead": 0.5},
                   {"overhead": 9}, {"bound_first_fit": 0}, {"retention": []},
                   {"samples": run["samples"][::-1]}):
        assert judge({**run, **spoilt}, "system"), spoilt
    assert judge(run, "null")


def main(program):
    code, out, err = frag(program, "--backend=null,system", "--live=8M", "--retention=0.1", "--json=-")
    assert code == 0, err
    runs = json.loads(out)["runs"]
    assert [(r["backend"], r["adversary"]) for r in runs] == \
        [(b, a) for b in ("null", "system") for a in ADVERSARIES]
    findings = [f"{r['adversary']} on {r['backend']}: {judge(r, r['backend'])}" for r in runs
                if judge(r, r["backend"])]
    judge_is_awake(runs[-1])
    for options in (["--adversary=nobody"], ["--live=1"], ["--backend=nobody"], ["word"]):
        code, out, err = frag(program, *options)
        assert code == 2 and not out and len(err.splitlines()) == 1, (options, out, err)
    code, out, err = frag(program, "--backend=system", "--live=2M", "--retention=0", "--adversary=robson",
                          "--timeout=0.000001")
    assert code == 1 and "timeout" in out, (code, out, err)
    print("\n".join(findings))
    print(f"{len(runs)} runs, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
