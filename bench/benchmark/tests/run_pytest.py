"""Runs one test file under pytest for CTest: exit status 77 (SKIP_RETURN_CODE) where a test was skipped."""
import sys

try:
    import pytest
except ImportError:
    print("skipped: pytest is absent (apt-get install python3-pytest)")
    sys.exit(77)


class Skips:
    def __init__(self):
        self.reasons = []

    def pytest_runtest_logreport(self, report):
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            self.reasons.append(f"{report.nodeid}: {reason}")


skips = Skips()
status = pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[skips])
for line in skips.reasons:
    print("skipped:", line)
sys.exit(77 if status == 0 and skips.reasons else int(status))
