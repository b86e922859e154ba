"""Man pages and completions: nothing of the help texts is lost, pages are clean, shells complete real lines with them."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "manual"))
import make  # noqa: E402
import texts  # noqa: E402

PROGRAM = os.environ["HEAPGAUGE"]
ROOT = HERE.parents[2]


def need(tool, package=None):
    return pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is absent: apt-get install {package or tool}")


@pytest.fixture(scope="session")
def manual(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manual")
    make.main(PROGRAM, folder)
    return folder


@pytest.fixture(scope="session")
def commands():
    return {c.name: c for c in texts.read(PROGRAM)[1]}


# ---- pages ----

def squeezed(text):
    return re.sub(r"\s+", "", text)


def test_no_word_is_lost(manual, commands):
    for name in commands:
        said = texts.ask(PROGRAM, "help", name)
        page = (manual / f"man1/heapgauge-{name}.1").read_text()
        for code, sign in (("\\-", "-"), ("\\(aq", "'"), ("\\(ga", "`"), ("\\(ha", "^"), ("\\(ti", "~"), ("\\(dq", '"'),
                           ("\\&", ""), ("\\e", "\\")):
            page = page.replace(code, sign)
        words = re.split(r"\s+", page)
        for word in re.split(r"[\s;]+", said):
            assert not word or word in ("usage:", "Exit", "status:", "positional", "arguments:", "options:") \
                or any(word in w for w in words), f"{name}: {word}"


def test_every_command_says_its_exit_status(commands):
    for command in commands.values():
        assert command.exit_status.startswith(("0", "1", "COMMAND")), command.name
        assert all(u.startswith(f"heapgauge {command.name}") for u in command.usage), command.usage


def test_every_option_line_is_an_option(commands):
    for name, command in commands.items():
        lines = re.findall(r"^ +(-{1,2}[\w-]+)", texts.ask(PROGRAM, "help", name), re.M)
        assert len([line for line in lines if "[" not in line]) <= len({n for n, _, _ in command.options()}) + \
            len(command.options()), name
        assert set(lines) <= {n for n, _, _ in command.options()}, name


def test_the_help_lists_what_the_program_takes():
    """Every long option of a table of options stands in the help of the same file."""
    checked = 0
    for path in [*ROOT.glob("bench/*/*.c"), *ROOT.glob("fuzz/*.c")]:
        text = path.read_text()
        for table in re.findall(r"struct option \w+\[\] = \{(.*?)\};", text, re.S):
            for option in re.findall(r'\{"([\w-]+)",', table):
                shown = {"help": "", "output": "-o "}.get(option, f"--{option}")
                assert shown in text, f"{path.name}: {shown} is not in its help"
                checked += 1
    assert checked > 50


def lint(path):
    return subprocess.run(["mandoc", "-Tlint", "-Wwarning", str(path)], capture_output=True, text=True).stdout


@need("mandoc")
def test_pages_are_clean(manual, commands, tmp_path):
    pages = sorted((manual / "man1").iterdir())
    assert len(pages) == len(commands) + 1
    assert [said for page in pages for said in lint(page).splitlines()] == []
    (tmp_path / "bad.1").write_text(pages[0].read_text().replace(".SH NAME\n", ".SH NAME\n.XX\n"))
    assert lint(tmp_path / "bad.1")  # it can find something


# ---- shells ----

class Shell:
    """An interactive shell on a terminal of its own, typed at as a person does."""

    def __init__(self, arguments, folder, start):
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            os.chdir(folder)
            path = f"{Path(PROGRAM).parent}:/usr/bin:/bin"
            os.execvpe(arguments[0], arguments, {"PATH": path, "HOME": str(folder), "TERM": "dumb", "LC_ALL": "C.UTF-8",
                                                 "INPUTRC": "/dev/null"})
        self.send(start + "\r")
        self.wait_for("READY")

    def send(self, text):
        os.write(self.terminal, text.encode())

    def wait_for(self, mark, seconds=20):
        seen, end = "", time.monotonic() + seconds
        while mark not in seen:
            assert time.monotonic() < end and select.select([self.terminal], [], [], seconds)[0], f"no {mark} in: {seen}"
            seen += os.read(self.terminal, 65536).decode(errors="replace")
        return seen

    def completed(self, line):
        """The line as it stands after <Tab>."""
        self.send(line + "\t")
        time.sleep(0.4)  # the shell must have completed before the line is taken away from it
        self.send("\x01echo '[' \x05 ']' EN''D\r")
        seen = self.wait_for("] END")
        return re.findall(r"^\[ (.*?) *\] END", seen.replace("\r", "\n"), re.M)[-1]

    def close(self):
        os.close(self.terminal)
        os.kill(self.child, 9)
        os.waitpid(self.child, 0)


LINES = [("heapgauge repl", "heapgauge replay"),
         ("heapgauge check --no-w", "heapgauge check --no-waivers"),
         ("heapgauge check --backend=jem", "heapgauge check --backend=jemalloc"),
         ("heapgauge check --backend=core,jem", "heapgauge check --backend=core,jemalloc"),
         ("heapgauge replay --face=lay", "heapgauge replay --face=layout"),
         ("heapgauge show only-tr", "heapgauge show only-trace.hgt"),
         ("heapgauge help comp", "heapgauge help compare")]
WORKLOAD = ("heapgauge compare pair/size:6553", "heapgauge compare pair/size:65536")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "only-trace.hgt").touch()
    (tmp_path / "only-text.txt").touch()
    return tmp_path


def test_bash_completes_real_lines(manual, folder):
    shell = Shell(["bash", "--norc", "-i"], folder, f"PS1=; bind 'set enable-bracketed-paste off'; . {manual}/bash/heapgauge; echo REA''DY")
    try:
        for typed, expected in [*LINES, WORKLOAD]:
            assert shell.completed(typed) == expected, typed
    finally:
        shell.close()


def test_bash_offers_every_option(manual, commands):
    for name, command in commands.items():
        line = f"heapgauge {name} -"
        script = f". {manual}/bash/heapgauge; COMP_LINE='{line}' COMP_POINT={len(line)} COMP_WORDS=(heapgauge {name} -) " \
            "COMP_CWORD=2; _heapgauge; printf '%s\\n' \"${COMPREPLY[@]}\""
        done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True)
        assert done.stderr == ""
        assert {w.rstrip("=") for w in done.stdout.split()} == {n for n, _, _ in command.options()}, name


@need("zsh")
def test_zsh_completes_real_lines(manual, folder):
    shell = Shell(["zsh", "-f", "-i"], folder, f"PS1=; unsetopt zle_bracketed_paste; fpath=({manual}/zsh $fpath); "
                  "autoload -Uz compinit; compinit -u -D; bindkey -e; echo REA''DY")
    try:
        for typed, expected in LINES:
            assert shell.completed(typed) == expected, typed
    finally:
        shell.close()


@need("fish")
def test_fish_completes_real_lines(manual, folder):
    for typed, expected in [*LINES, WORKLOAD]:
        done = subprocess.run(["fish", "--no-config", "-c", f"source {manual}/fish/heapgauge.fish; complete -C '{typed}'"],
                              capture_output=True, text=True, cwd=folder,
                              env={**os.environ, "PATH": f"{Path(PROGRAM).parent}:/usr/bin:/bin", "HOME": str(folder)})
        assert done.stderr == ""
        assert expected.split()[-1] in [line.split("\t")[0] for line in done.stdout.splitlines()], (typed, done.stdout)
