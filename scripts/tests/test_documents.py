"""Every command in the documents is run, in a scratch copy with the built program (documents.py says how they are marked)."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from documents import blocks_of, script_of, words_of

PROGRAM = Path(os.environ.get("HEAPGAUGE_REAL") or ROOT / "build/dev/bin/heapgauge")
LONG = bool(os.environ.get("HG_LONG"))
OLDER = ("README.md", "CONTRIBUTING.md")  # their blocks without a mark are commands
DOCUMENTS = [*OLDER, *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("scripts/docs/*.md"))]
needs_program = pytest.mark.skipif(not (PROGRAM.exists() and shutil.which("hyperfine")),
                                   reason="needs the program and hyperfine: cmake --workflow --preset dev; scripts/setup run")


def blocks_in(name):
    return blocks_of((ROOT / name).read_text(), "sh" if name in OLDER else "text")


def scratch(folder):
    """Where a reader stands: a checkout that is built. What is written there stays there."""
    for name in ("scripts", "core", "backends", "bench", "fuzz", "CMakeLists.txt", "CMakePresets.json"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "results").mkdir()
    for name in ("traces", "published", "schema"):
        (folder / "results" / name).symlink_to(ROOT / "results" / name)
    (folder / "build").mkdir()
    for preset in ("release", "dev"):
        (folder / "build" / preset).symlink_to(PROGRAM.parent.parent)
    # Readers' own things, by the names that the documents use for them.
    (folder / "your-program").write_text("#!/bin/sh\nexec /usr/bin/python3 -S -c 'print(len({str(i): [i] * 3 for i in range(9000)}))'\n")
    (folder / "your-program").chmod(0o755)
    shutil.copy(PROGRAM.parent.parent / "lib/libheapgauge_malloc.so", folder / "libmine.so")
    return folder


def run(blocks, folder):
    """Runs the commands of blocks; what went wrong, "" for nothing."""
    script = folder / ".commands"
    script.write_text(script_of(blocks))
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}:/usr/bin:/bin", "PYTHONMALLOC": "malloc", "LC_ALL": "C.UTF-8",
                   "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(["bash", str(script)], cwd=folder, env=environment, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1800 if LONG else 300)
    return "" if done.returncode == 0 else done.stdout[-3000:]


@needs_program
@pytest.mark.parametrize("name", DOCUMENTS)
def test_its_commands_run(name, tmp_path):
    chosen = [b for b in blocks_in(name) if b.is_run or b.file_name() or (LONG and b.note.startswith("long:"))]
    if not any(b.kind == "sh" for b in chosen):
        pytest.skip("no commands that are run in seconds: HG_LONG=1")
    assert run(chosen, scratch(tmp_path)) == ""


@needs_program
@pytest.mark.parametrize("name", DOCUMENTS)
def test_its_programs_and_options_exist(name):
    for block in blocks_in(name):
        assert block.kind != "sh" or not block.note or re.match(r"(long|never): \S", block.note), f"{name}:{block.line}"
        if block.kind == "sh":
            for command, _ in block.commands():
                require_known(command, f"{name}:{block.line}")
        elif block.kind == "text":
            assert not re.search(r"^\s*(\$ |heapgauge |scripts/)", block.text, re.M), f"{name}:{block.line}: commands not marked sh"


def require_known(command, where):
    """Fails unless the program of a command, its subcommand and its options are there."""
    words = words_of(command)
    if not words:
        return
    name, subcommand, options = words
    if name == "heapgauge":
        help_text = help_of(PROGRAM, "help", *([subcommand] if subcommand and subcommand != "help" else []))
    else:
        assert (ROOT / name).exists(), f"{where}: {name}: no such script"
        help_text = help_of(ROOT / name, "--help")
    for option in options:
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_text) or option.startswith("--benchmark") \
            or option in ("--version", "--help"), f"{where}: {command}: no option {option}"


def help_of(*command):
    done = subprocess.run([str(w) for w in command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def test_links_lead_somewhere():
    for name in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text()):
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name}: {target}"


# ---- the tests can fail ----

def test_a_wrong_command_is_found(tmp_path):
    blocks = blocks_of("```sh\ntrue\nfalse   # exit status 1\n```\n```sh\nfalse\n```\n")
    assert "line 5: exit status 1, not 0: false" in run(blocks, tmp_path)
    assert run(blocks[:1], tmp_path) == ""


@needs_program
def test_a_wrong_option_is_found():
    for command in ("heapgauge check --no-such", "heapgauge nope x", "scripts/nope", "scripts/run --no-such", "$heapgauge report --no-such"):
        with pytest.raises(AssertionError):
            require_known(command, "here")
    require_known("heapgauge record -o x.hgt -- ls --all", "here")


def test_blocks_are_read():
    found = blocks_of("```c file=a.c\nint x;\n```\ntext\n```sh long: minutes\nheapgauge a \\\n  b # exit status 1\n```\n")
    assert [(b.line, b.kind, b.file_name()) for b in found] == [(1, "c", "a.c"), (5, "sh", None)]
    assert not found[1].is_run and found[1].commands() == [("heapgauge a    b", "1")]
