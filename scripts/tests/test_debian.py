"""The Debian packages: what they depend on is what we need, and (with HG_LONG=1) they build, lintian clean, and work."""

import os
import re
import shutil
import subprocess

import pytest
from conftest import ROOT

CONTROL = (ROOT / "scripts/debian/control").read_text()


def packages_of(group):
    rows = [line.split("\t") for line in (ROOT / "scripts/packages.tsv").read_text().splitlines()]
    return {row[1] for row in rows if row[0] == group}


def test_the_program_depends_on_what_it_runs_with():
    paragraph = CONTROL.split("Package: heapgauge\n")[1].split("\n\n")[0]
    for package in packages_of("run") - {"python3", "sqlite3"}:  # ${python3:Depends}; a program recorded in an example
        assert re.search(rf"^ {re.escape(package)},$", paragraph, re.M), f"{package} is not in scripts/debian/control"


def test_the_build_depends_on_what_it_is_built_with():
    paragraph = CONTROL.split("\n\n")[0]
    for package in packages_of("build") - {"gcc", "libc6-dev", "pkg-config", "libcmocka-dev"}:  # build-essential; tests
        assert re.search(rf"^ {re.escape(package)}\b", paragraph, re.M), f"{package} is not in Build-Depends"


@pytest.mark.skipif(not os.environ.get("HG_LONG"), reason="takes a minute: HG_LONG=1")
@pytest.mark.skipif(not all(map(shutil.which, ("dpkg-buildpackage", "dh", "lintian"))), reason="needs scripts/setup package")
def test_the_packages_are_built_clean_and_work():
    done = subprocess.run([ROOT / "scripts/debian-package", "--no-install"], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"\.deb\b", done.stderr)) >= 3
