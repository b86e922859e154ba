"""Man pages (man(7)): heapgauge.1 and one a command."""

import textwrap

from texts import Item

ENVIRONMENT = [
    ("HEAPGAUGE_LIBDIR", "Folder of libheapgauge_record.so, where it is not the program's own."),
    ("HEAPGAUGE_PYTHON_DIR", "Folder of the Python package behind compare, report, gate, merge and doctor, where it is not "
     "the program's own."),
    ("GLIBC_TUNABLES", "The program sets glibc.rtld.optional_static_tls in it and starts itself once more, so that several "
     "allocators can be loaded side by side."),
]


def escaped(text):
    """A line of text as roff prints it unchanged."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq").replace("^", "\\(ha")
    text = text.replace("~", "\\(ti")
    return "\\&" + text if text.startswith(".") else text


def filled(text):
    """A paragraph in short lines: roff fills them again."""
    return [escaped(line) for line in textwrap.wrap(text, 66, break_long_words=False, break_on_hyphens=False)]


def item_lines(item):
    lines = [".TP", ".B " + escaped(item.head).replace('"', "\\(dq")]
    return [*lines, *(filled(item.text) if item.text else ["\\&"])]


def section_lines(title, parts):
    """A section of paragraphs and items."""
    lines, fresh = [f".SH {title}"], True
    for part in parts:
        if isinstance(part, Item):
            lines += item_lines(part)
        else:
            lines += ([] if fresh else [".PP"]) + filled(part)
        fresh = False
    return lines


def body_lines(command):
    """DESCRIPTION up to the first option, then OPTIONS, then what follows them."""
    parts = [part for section in command.sections for part in section.parts]
    first = next((i for i, p in enumerate(parts) if isinstance(p, Item) and p.is_option), len(parts))
    last = max((i for i, p in enumerate(parts) if isinstance(p, Item) and p.is_option), default=first - 1)
    lines = []
    for title, piece in (("DESCRIPTION", parts[:first]), ("OPTIONS", parts[first:last + 1]), ("NOTES", parts[last + 1:])):
        if piece:
            lines += section_lines(title, piece)
    return lines


def page(command, version, date, see_also):
    """One page."""
    name = "heapgauge" + (f"-{command.name}" if command.name else "")
    lines = [f'.TH {name.upper()} 1 "{date}" "Heapgauge {version}" "Heapgauge"',
             ".SH NAME", *filled(f"{name} - {command.what}"), ".SH SYNOPSIS"]
    for number, usage in enumerate(command.usage):
        lines += ([".br"] if number else []) + filled(usage)
    lines += body_lines(command)
    if command.exit_status:
        lines += [".SH EXIT STATUS", *filled(command.exit_status)]
    if not command.name:
        lines += section_lines("ENVIRONMENT", [Item(*pair) for pair in ENVIRONMENT])
    ends = [","] * (len(see_also) - 1) + [""]
    lines += [".SH SEE ALSO", *(f".BR {escaped(other)} (1){end}" for other, end in zip(see_also, ends))]
    return "\n".join(lines) + "\n"


def render(top, commands, version, date):
    """File name -> text."""
    names = [f"heapgauge-{c.name}" for c in commands]
    pages = {"heapgauge.1": page(top, version, date, names)}
    for command in commands:
        pages[f"heapgauge-{command.name}.1"] = page(command, version, date, ["heapgauge"])
    return pages
