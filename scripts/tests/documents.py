"""Documents as tests: the commands in their fenced blocks, run as a reader would type them, top to bottom.

    ```sh                 commands, one a line (\\ continues a line); each must end with 0, or with N where the line ends
                          in `# exit status N`
    ```sh long: WHY       takes too long for every run, or needs what is not everywhere: run with HG_LONG=1 only. Always:
                          the programs exist, and so do all their options
    ```sh never: WHY      what can't be run here at all; looked at as above
    ```c file=NAME.c      a file that the commands after it use (any language)
    ```                   anything else: output, pictures, sketches. Commands must not stand there.

A block without a mark in README.md and CONTRIBUTING.md, which are older than this, is one of sh.
"""

import re
import shlex
from dataclasses import dataclass

# These end with 1 where the machine is noisy, which is no fault of the document.
MAY_FIND = re.compile(r"heapgauge (compare|report|merge|doctor)\b")
PROGRAM = re.compile(r"(?:^|\s)(?:\S*/)?(heapgauge|\$heapgauge|scripts/[\w-]+)(?=\s|$)")


@dataclass
class Block:
    """One fenced block; `line` is that of its fence."""
    line: int
    kind: str
    note: str
    text: str

    @property
    def is_run(self):
        return self.kind == "sh" and not self.note

    def commands(self):
        """[(command, exit statuses it may have)], lines put together."""
        found = []
        for line in self.text.replace("\\\n", " ").splitlines():
            status = re.search(r"#.*\bexit status (\d+)\b", line)
            command = re.sub(r"(^|\s+)# .*$", "", line).strip()
            if command:
                may = "0 1" if MAY_FIND.search(command) else "0"
                found.append((command, status[1] if status else may))
        return found

    def file_name(self):
        match = re.search(r"\bfile=(\S+)", self.note)
        return match[1] if match else None


def blocks_of(text, bare="text"):
    """The fenced blocks of a Markdown text; those without a mark are of kind `bare`."""
    found, fence = [], None
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"```+(.*)$", line)
        if mark and fence is None:
            kind, _, note = mark[1].strip().partition(" ")
            fence = Block(number, kind or bare, note.strip(), "")
        elif mark:
            found.append(fence)
            fence = None
        elif fence:
            fence.text += line + "\n"
    return found


def words_of(command):
    """(program, subcommand or None, options) of a command of ours; None if it is somebody else's."""
    match = PROGRAM.search(command)
    if not match:
        return None
    rest = command[match.end():].split(" -- ")[0].split("|")[0].split("&&")[0]
    try:
        words = shlex.split(rest, comments=True)
    except ValueError:
        words = rest.split()
    name = match[1].lstrip("$")
    options = [w.split("=")[0] for w in words if w.startswith("-") and w not in ("-", "--")]
    subcommand = next((w for w in words if re.fullmatch(r"[a-z]+", w)), None) if name == "heapgauge" else None
    return name, subcommand, options


def script_of(blocks):
    """A bash script that types the commands of blocks and stops at the first that ends otherwise than it must."""
    lines = ["unset HISTFILE", "_expect() { case \" $2 \" in *\" $1 \"*) ;; *) echo \"line $3: exit status $1, not $2: $4\" >&2; exit 99 ;; esac; }"]
    for block in blocks:
        if block.file_name():
            lines.append(f"cat >{shlex.quote(block.file_name())} <<'END OF FILE'\n{block.text}END OF FILE")
            continue
        for command, status in block.commands():
            lines += [f"printf '$ %s\\n' {shlex.quote(command)}", command,
                      f"_expect $? '{status}' {block.line} {shlex.quote(command)}"]
    return "\n".join(lines) + "\n"
