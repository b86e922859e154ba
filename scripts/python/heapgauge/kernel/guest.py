"""A guest: boots, is given commands, and is watched until it ends. What its kernel says about itself is a finding."""

import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import Trouble

MEMORY_MB = 768
PIECE_BYTES = 2048      # of a command on a served line
LOG_BYTES_MAX = 4 << 20  # a kernel that reports on and on is stopped
# What a kernel prints when something in it broke.
ALARMS = re.compile(r"BUG[ :].*|Oops: .*|Kernel panic - .*|WARNING: .*|KASAN: .*|general protection fault.*|"
                    r"Unable to handle .*|Out of memory: .*|(Left|Right) Redzone overwritten.*")


@dataclass
class Answer:
    """What the guest said to one command."""
    command: str
    ns: int
    text: str
    fields: dict = field(default_factory=dict)


@dataclass
class Outcome:
    """A guest's whole life."""
    answers: list
    alarms: list    # lines in which the kernel reports something broken
    ended: bool     # in order, by itself
    vectors: list   # (size, alignment, less aligned, of so many) by the Rust module
    seconds: float
    log: Path

    @property
    def trouble(self):
        """One line on what went wrong in the guest; None if nothing did."""
        if self.alarms:
            return self.alarms[0]
        return None if self.ended else f"the guest hung or died after {self.seconds:.0f} s"


def parse_fields(text):
    """key=value pairs of an answer; `text=` and `op=` run on over blanks."""
    fields = {}
    head, mark, tail = text.partition(" text=")
    if mark:
        fields["text"] = tail
    head, mark, op = head.partition(" op=")
    if mark:
        fields["op"] = op
    for word in head.split():
        key, mark, value = word.partition("=")
        if mark:
            fields[key] = int(value) if re.fullmatch(r"-?\d+", value) and key != "digest" else value
    return fields


def parse_log(text, jobs):
    """(answers, alarms, ended) of a console log."""
    answers, alarms, ended = [], [], False
    for line in text.replace("\r", "").splitlines():
        said = re.match(r".*?HG (\d+) (\d+) (.*)", line)
        if said and 0 < int(said[1]) <= len(jobs):
            answers.append(Answer(jobs[int(said[1]) - 1], int(said[2]), said[3], parse_fields(said[3])))
        elif line.endswith("HG end"):
            ended = True
        elif "HG error" in line:
            alarms.append(line.strip())
        elif found := ALARMS.search(line):
            alarms.append(found[0].strip())
    return answers, alarms, ended


def parse_vectors(text):
    """What heapgauge_vectors.rs counted."""
    found = re.findall(r"heapgauge_vectors: (\d+)/(\d+) (\d+) of (\d+)", text)
    return [tuple(map(int, numbers)) for numbers in found]


def command_line(built, initramfs, debug, serial=None):
    """The words that boot the guest; `serial` is the file descriptor of its second line."""
    options = ["panic=-1", "oops=panic", "loglevel=5", "no_hash_pointers"] + (["slub_debug=FZ"] if debug else [])
    if built.kernel.emulated:
        words = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", MEMORY_MB, "-nographic",
                 "-nodefaults", "-serial", "stdio", "-no-reboot", "-kernel", built.image, "-initrd", initramfs]
        if serial is not None:
            words += ["-chardev", f"socket,id=line,fd={serial}", "-device", "isa-serial,chardev=line,index=1"]
        # A kernel with KFENCE takes samples only if told to.
        return [*words, "-append", " ".join(["console=ttyS0", "kfence.sample_interval=0", *options])]
    line = f"ssl0=fd:{serial},fd:{serial}" if serial is not None else "ssl=null"
    return [built.image, f"mem={MEMORY_MB}M", f"initrd={initramfs}", "root=/dev/ram0", "con=null", "con0=fd:0,fd:1",
            "con1=null", line, *options]


def stop(child):
    """Ends a guest, with the helpers it may have started (its own process group)."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def run(built, jobs, files=None, debug=False, timeout=120, log=None):
    """Boots, has all jobs done, waits for the end; the Outcome. Stops a guest that takes longer than `timeout`
    seconds or whose log overflows."""
    with tempfile.TemporaryDirectory(prefix="heapgauge-") as place:
        initramfs = built.initramfs(Path(place) / "initramfs.gz", jobs, files or {})
        text_size = 0
        log = Path(log or built.kernel.folder / f"console{'-debug' if debug else ''}.log")
        begin = time.monotonic()
        growing = log.with_name(f"{log.stem}-{os.getpid()}.log")  # another run may be on its way
        with open(growing, "wb") as out:
            child = subprocess.Popen([str(w) for w in command_line(built, initramfs, debug)], stdin=subprocess.DEVNULL,
                                     stdout=out, stderr=subprocess.STDOUT, cwd=place, start_new_session=True,
                                     env={**os.environ, "HOME": place, "TMPDIR": place})
            try:
                while child.poll() is None and time.monotonic() - begin < timeout:
                    time.sleep(0.05)
                    text_size = growing.stat().st_size
                    if text_size > LOG_BYTES_MAX or (text_size and b"HG end" in growing.read_bytes()[-400:]):
                        break
                if child.poll() is None and text_size <= LOG_BYTES_MAX:
                    try:  # it has said its last word: a moment to power off
                        child.wait(2 if time.monotonic() - begin < timeout else 0.1)
                    except subprocess.TimeoutExpired:
                        pass
            finally:
                stop(child)
                growing.replace(log)
        seconds = time.monotonic() - begin
        text = log.read_bytes()[:LOG_BYTES_MAX].decode(errors="replace")
        answers, alarms, ended = parse_log(text, jobs)
        return Outcome(answers, alarms, ended, parse_vectors(text), seconds, log)


class Server:
    """A guest that stays: commands go in over a socket pair, one at a time. A context manager."""

    def __init__(self, built, debug=False, log=None):
        self.place = tempfile.TemporaryDirectory(prefix="heapgauge-")
        self.ours, theirs = socket.socketpair()
        initramfs = built.initramfs(Path(self.place.name) / "initramfs.gz",
                                    ["serve /dev/ttyS1" if built.kernel.emulated else "serve /dev/ttyS0"], {})
        self.log = Path(log or built.kernel.folder / f"console-server{'-debug' if debug else ''}.log")
        with open(self.log, "wb") as out:
            self.child = subprocess.Popen(
                [str(w) for w in command_line(built, initramfs, debug, theirs.fileno())], stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, cwd=self.place.name, start_new_session=True,
                pass_fds=[theirs.fileno()], env={**os.environ, "HOME": self.place.name, "TMPDIR": self.place.name})
        theirs.close()
        self.ours.settimeout(90 if built.kernel.emulated else 30)
        self.receive()  # it is ready

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ours.close()
        stop(self.child)
        self.place.cleanup()

    def receive(self):
        """The next answer, as bytes."""
        return self.exactly(struct.unpack("<I", self.exactly(4))[0])

    def exactly(self, size):
        """So many bytes of what the guest sends."""
        got = b""
        try:
            while len(got) < size:
                piece = self.ours.recv(size - len(got))
                if not piece:
                    raise OSError("it hung up")
                got += piece
        except OSError as error:
            raise Trouble(f"the guest does not answer ({error}); see {self.log}") from error
        return got

    def ask(self, command, payload=b""):
        """Sends a command; its Answer."""
        request = command.encode() + b"\n" + payload
        begin = time.monotonic_ns()
        self.ours.sendall(struct.pack("<I", len(request)))
        for at in range(0, len(request), PIECE_BYTES):  # each but the last is acknowledged: guest.c
            if at:
                self.exactly(1)
            self.ours.sendall(request[at:at + PIECE_BYTES])
        text = self.receive().decode(errors="replace").strip()
        return Answer(command, time.monotonic_ns() - begin, text, parse_fields(text))
