"""Adds up JUnit reports: lists what failed and what was skipped, and ends with one line of totals.

    count.py --suites="dev asan" --broken="" REPORT.xml...

Exit status 1 if a test failed, a suite broke without naming a test, or nothing ran.
"""

import argparse
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path


def outcome(case):
    """("passed" | "failed" | "skipped", reason) of a test case, in pytest's and ctest's dialects."""
    said = (case.findtext("system-out") or "").strip()
    if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
        return "failed", ""
    skipped = case.find("skipped")
    if skipped is not None or case.get("status") in ("notrun", "disabled"):
        # A test that skips says why in a line of its own: "SKIP: needs ...: apt-get install ...".
        own = re.findall(r"^.*\bSKIP(?:PED)?\b:?\s*(.+)$", said, re.M | re.I)
        reason = own[-1] if own else (skipped.get("message") or "" if skipped is not None else "not run")
        return "skipped", re.sub(r"^Skipped: ", "", reason) or "no reason given"
    return "passed", ""


def read_report(path):
    """The (suite, name, outcome, reason) of every case in a report. Raises on a report that was cut."""
    suite = path.stem
    return [(suite, case.get("name") or "?", *outcome(case)) for case in xml.parse(path).getroot().iter("testcase")]


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suites", default="")
    parser.add_argument("--broken", default="")
    parser.add_argument("reports", nargs="*", type=Path)
    options = parser.parse_args(argv)
    results, bad = [], []
    for path in options.reports:
        try:
            found = read_report(path)
        except (OSError, xml.ParseError) as error:
            bad.append(f"{path}: no readable report ({error})")
            continue
        if not found:
            bad.append(f"{path}: no test ran")
        results += found
    count = {kind: [r for r in results if r[2] == kind] for kind in ("passed", "failed", "skipped")}
    for suite in options.suites.split():
        if not any(r[0].endswith(f"-{suite}") for r in results):
            bad.append(f"{suite}: no test ran")
    if options.broken and not count["failed"]:
        bad.append(f"ended badly, though no test is named: {options.broken}")
    for suite, name, _, _ in count["failed"]:
        print(f"failed:  {suite}: {name}")
    for reason in dict.fromkeys(r[3] for r in count["skipped"]):
        names = [f"{r[0]}: {r[1]}" for r in count["skipped"] if r[3] == reason]
        print(f"skipped: {', '.join(names)}: {reason}")
    for line in dict.fromkeys(bad):
        print(f"broken:  {line}")
    ran = len(count["passed"]) + len(count["failed"])
    print(f"{len(count['passed'])} passed, {len(count['failed'])} failed, {len(count['skipped'])} skipped")
    return 0 if ran and not count["failed"] and not bad else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
