"""A results folder on disk: atomic writes, a manifest of checksums, one writer at a time.

    plan.json       what is measured, how, in which order (seed)
    backends.json   which file served each backend
    verdicts.json   what the oracle said, before anything was timed
    counts.json     whether the calls asked for arrived at the allocator, counted once before the rounds
    context.json    the machine, before and after
    curves/001.json of the first workload: latency by percentile, memory over operations (see curves.py)
    traces.json     what each trace is like, and its picture
    frag.json, fuzz.json, scaling.json  where asked for: fragmentation, what the fuzzer found, cost against size and threads
    rounds/001.json every cell once, in fresh processes: hyperfine's record and the cells' own
    SHA256SUMS      checksums of all of these; `sha256sum -c` reads it

A file is written beside its place, synced and renamed: after kill -9 or a power cut it is there whole
or not at all. Its checksum goes into .pending first and into the manifest last, so that a kill between
the file and the manifest leaves a file that the next reader still knows.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from .errors import Trouble

MANIFEST = "SHA256SUMS"
PENDING = ".pending"  # one line of the manifest, about to be true
SPACE_NEEDED_BYTES = 4 << 20


def digest(data):
    """Hex SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path):
    """Hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_json(text):
    """JSON text to values. Refuses NaN and Infinity, which are not JSON."""
    def refuse(word):
        raise ValueError(f"{word} is not JSON")
    return json.loads(text, parse_constant=refuse)


def explain(error, path):
    """An OSError as Trouble: what happened, to which file, and what to do."""
    what = {
        errno.ENOSPC: "the disk is full: free some space",
        errno.EDQUOT: "the disk quota is used up: free some space",
        errno.EROFS: "the file system is read-only: choose another folder with -o",
        errno.EACCES: "permission denied: choose a folder that you may read and write",
        errno.EPERM: "not permitted: choose a folder you may write, with -o",
        errno.ENOTDIR: "a part of the path is not a folder: choose another with -o",
    }.get(error.errno, error.strerror or str(error))
    return Trouble(f"{path}: {what}")


def write_atomic(path, data):
    """Writes bytes so that `path` holds the old content or all of the new, never a part."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise explain(error, path) from None


class Folder:
    """One results folder. Reading verifies checksums; writing needs lock() first."""

    def __init__(self, path):
        self.path = Path(path)
        self._lock = None
        self._sums = None

    # ---- writing ----
    def create(self):
        """Makes the folder where it is missing."""
        try:
            (self.path / "rounds").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, self.path) from None

    def lock(self):
        """Keeps other writers out for the life of this process, and clears what a killed one left."""
        try:
            self._lock = open(self.path / ".lock", "w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Trouble(f"{self.path}: another heapgauge compare is writing here: wait for it, or "
                          "choose another folder with -o") from None
        except OSError as error:
            raise explain(error, self.path) from None
        for stale in (*self.path.glob(".*.tmp"), *self.path.glob("rounds/.*.tmp")):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()

    def require_space(self):
        """Raises Trouble if the disk is too full to go on."""
        free = shutil.disk_usage(self.path).free
        if free < SPACE_NEEDED_BYTES:
            raise Trouble(f"{self.path}: only {free} bytes left on this disk: free some space; finished "
                          "rounds are kept, and --resume goes on")

    def write_json(self, name, value):
        """Writes a value as JSON, atomically, and lists it in the manifest."""
        data = (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()
        write_atomic(self.path / PENDING, f"{digest(data)}  {name}\n".encode())
        write_atomic(self.path / name, data)
        self.sums[name] = digest(data)
        lines = "".join(f"{self.sums[listed]}  {listed}\n" for listed in sorted(self.sums))
        write_atomic(self.path / MANIFEST, lines.encode())

    # ---- reading ----
    @property
    def sums(self):
        """name -> hex digest, from the manifest; empty where there is none yet."""
        if self._sums is None:
            self._sums = self._parse_sums(self.path / MANIFEST)
            for name, expected in self._parse_sums(self.path / PENDING).items():
                path = self.path / name
                if path.is_file() and file_digest(path) == expected:
                    self._sums[name] = expected
            if not self.exists(MANIFEST) and self.exists() and "plan.json" not in self._sums:
                raise Trouble(f"{self.path / MANIFEST}: missing: restore it, or measure again")
        return self._sums

    @staticmethod
    def _parse_sums(path):
        found = {}
        if path.exists():
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                match = re.fullmatch(r"([0-9a-f]{64})  (\S.*)", line)
                if not match:
                    raise Trouble(f"{path}: line {number} is not a checksum and a file name: the file was "
                                  "cut or edited")
                found[match[2]] = match[1]
        return found

    def exists(self, name="plan.json"):
        """True if the folder holds that file."""
        return (self.path / name).is_file()

    def read_json(self, name):
        """Reads a file that the manifest lists; Trouble that names the file if it is not as written."""
        path = self.path / name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            if not self.path.is_dir():
                raise Trouble(f"{self.path}: no such results folder") from None
            raise Trouble(f"{path}: missing: restore it, or measure again") from None
        except OSError as error:
            raise explain(error, path) from None
        expected = self.sums.get(name)
        try:
            value = parse_json(data.decode())
        except ValueError as error:
            raise Trouble(f"{path}: not complete JSON ({error}): the file was cut or edited; restore it, "
                          "or measure again") from None
        if expected is None:
            raise Trouble(f"{path}: not listed in {MANIFEST}: it does not belong to this run")
        if digest(data) != expected:
            raise Trouble(f"{path}: changed since it was measured (its checksum is not the one in "
                          f"{MANIFEST}): restore it, or measure again")
        return value

    def read_rounds(self):
        """All finished rounds in order."""
        present = {f"rounds/{path.name}" for path in (self.path / "rounds").glob("[0-9]*.json")}
        listed = {name for name in self.sums if name.startswith("rounds/")}
        rounds = []
        for name in sorted(present | listed):
            value = self.read_json(name)
            if not isinstance(value, dict) or value.get("round") != len(rounds) + 1:
                raise Trouble(f"{self.path / name}: not round {len(rounds) + 1}: a round is missing or was "
                              "renamed")
            rounds.append(value)
        return rounds
