"""Reads what `heapgauge help` prints into values: the one text that man pages and completions are made of.

A help text is: usage lines; paragraphs; lists, whose items begin with spaces, a head, and two spaces before what it
means (or begin the line, for words that are defined); "Exit status:". Nothing else may stand in one, or its man page
would be wrong; the tests hold every command to that.
"""

import json
import os
import re
import subprocess
from dataclasses import dataclass, field

CONTINUED = 7  # usage lines go on behind this many spaces


@dataclass
class Item:
    """`--seed=N` and what it means."""
    head: str
    text: str

    @property
    def is_option(self):
        return self.head.startswith("-")

    @property
    def options(self):
        """The option's names with what each takes: [("-o", "DIR"), ("--output", "DIR")]; "" for nothing.

        A value may be given once for two names: `-o, --output=T.hgt`.
        """
        found = re.findall(r"(?:^|,\s*)(--?\w[\w.-]*)(?:[= ]([^\s=]+?(?=,\s|\s|$)))?", self.head)
        value_of_all = found[-1][1] if len(found) == 2 and len(found[0][0]) == 2 else ""
        return [(name, value or value_of_all) for name, value in found]


@dataclass
class Section:
    """A title ("" for the text before any), paragraphs and lists in their order."""
    title: str
    parts: list = field(default_factory=list)  # str: a paragraph; Item

    def items(self):
        return [part for part in self.parts if isinstance(part, Item)]


@dataclass
class Command:
    """One subcommand; the program itself is the command called ""."""
    name: str
    what: str = ""
    usage: list = field(default_factory=list)
    sections: list = field(default_factory=list)
    exit_status: str = ""

    def options(self):
        """[(name, value, text)] of every option, in order; a name may stand there more than once."""
        return [(name, value, item.text) for section in self.sections for item in section.items() if item.is_option
                for name, value in item.options]


@dataclass
class Values:
    """What may stand behind an option: "" (nothing), "file", "folder", "backends", "one-of" and its words, "other"."""
    kind: str
    words: list = field(default_factory=list)
    name: str = ""
    text: str = ""


def values_of(name, value):
    """The Values of one option's line."""
    choices = re.fullmatch(r"\{?([a-zA-Z]+(?:[|,][a-zA-Z]+)+|[a-z]+)\}?", value)
    if not value:
        kind, words = "", []
    elif name in ("--backend", "--backends", "--baseline"):
        kind, words = "backends", []
    elif choices and not re.search(r"(^|[|,])[A-Z]", choices[1]):
        kind, words = "one-of", re.split("[|,]", choices[1])
    elif value == "DIR":
        kind, words = "folder", []
    elif re.fullmatch(r"(FILE|BASE|TEXT|<file>|[A-Z]\.hgt)(\.\w+)?", value):
        kind, words = "file", []
    else:
        kind, words = "other", []
    return Values(kind, words, value)


def option_values(command):
    """name -> Values of a command; what several lines say of one option is put together."""
    found = {}
    for name, value, text in command.options():
        values = values_of(name, value)
        if name not in found:
            values.text = text
            found[name] = values
        else:
            found[name].words += [word for word in values.words if word not in found[name].words]
    return found


def split_item(line):
    """(head, text) of an item's first line, or None if it is none."""
    stripped = line.strip()
    match = re.match(r"(\S.*?)(?:\s{2,}|;\s+)(.*)$", stripped)
    if line[0] == " ":
        return match.groups() if match else (stripped, "")
    return re.match(r"(\S+(?: \S+)?)\s{2,}(\S.*)$", line).groups() if re.match(r"\S+(?: \S+)?\s{2,}\S", line) else None


class Reader:
    """Takes a help text line by line."""

    def __init__(self, command):
        self.command, self.target, self.fresh = command, "usage", True
        self.section = Section("")
        command.sections.append(self.section)

    def usage(self, line):
        """True if the line is one of the usage."""
        if line.startswith("usage:"):
            self.command.usage.append(line[len("usage:"):].strip())
        elif line.startswith(" " * CONTINUED) and line.strip().startswith("heapgauge"):
            self.command.usage.append(line.strip())
        elif line.startswith(" " * CONTINUED):
            self.command.usage[-1] += " " + line.strip()
        else:
            return False
        return True

    def title(self, line):
        """True if the line is a title: it ends in a colon and its list follows."""
        if line[0] == " " or not line.endswith(":") or not self.fresh:
            return False
        self.section = Section(line[:-1])
        self.command.sections.append(self.section)
        return True

    def body(self, line):
        parts = self.section.parts
        item = split_item(line)
        starts = item and (line[0] != " " or len(line) - len(line.lstrip()) < 8)
        if starts and not (self.fresh and line[0] != " " and not item[1]):
            parts.append(Item(*item))
        elif line[0] == " " and parts and isinstance(parts[-1], Item):
            parts[-1].text = f"{parts[-1].text} {line.strip()}".strip()
        elif parts and isinstance(parts[-1], str) and not self.fresh:
            parts[-1] += " " + line.strip()
        else:
            parts.append(line.strip())

    def line(self, line):
        if not line.strip():
            self.fresh = True
            self.target = "body"
            return
        if self.target == "usage" and self.usage(line):
            return
        if line.startswith("Exit status:"):
            self.target = "exit"
            self.command.exit_status = line[len("Exit status:"):].strip()
        elif self.target == "exit":
            self.command.exit_status += " " + line.strip()
        else:
            self.target = "body"
            if not self.title(line):
                self.body(line)
        self.fresh = False


def parse(name, what, text):
    """The Command that a help text describes."""
    command = Command(name, what)
    reader = Reader(command)
    for line in text.splitlines():
        reader.line(line)
    return command


def ask(program, *words):
    """A help text, as wide as a page and without the user's own settings."""
    environment = {**os.environ, "COLUMNS": "100", "LC_ALL": "C.UTF-8"}
    return subprocess.run([program, *words], stdout=subprocess.PIPE, text=True, check=True, timeout=60,
                          env=environment).stdout


def backend_names(program):
    """The registered backends."""
    listed = json.loads(ask(program, "backends", "--json"))["backends"]
    return [backend["name"] for backend in listed]


def read(program):
    """(the program itself, its commands in order, its version)."""
    top = parse("", "gauges memory allocators: correct? how fast? how much memory wasted?", ask(program, "help"))
    listed = [item for section in top.sections for item in section.items()
              if re.fullmatch(r"[a-z]+", item.head)]
    commands = [parse(item.head, item.text, ask(program, "help", item.head)) for item in listed]
    return top, commands, ask(program, "--version").split()[1]
