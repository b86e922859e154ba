"""Indexes Python's standard library: which names are defined where, and how often each word is used.

Run with PYTHONMALLOC=malloc, so that every object comes from the allocator and not from Python's pools.
Argument: the number of modules (default 40).
"""

import ast
import collections
import json
import pathlib
import sys
import tokenize
import zlib


def definitions(tree):
    """Qualified names of the functions and classes in a module, by line."""
    found = {}
    pending = [("", tree)]
    while pending:
        prefix, node = pending.pop()
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                name = f"{prefix}.{child.name}".lstrip(".")
                found[name] = child.lineno
            pending.append((name, child))
    return found


def vocabulary(path):
    """How often each name stands in a module."""
    with tokenize.open(path) as source:
        return collections.Counter(token.string for token in tokenize.generate_tokens(source.readline)
                                   if token.type == tokenize.NAME)


def main(count):
    library = pathlib.Path(ast.__file__).parent
    # Of middle size, in the order of their names: the same on every run.
    modules = [p for p in sorted(library.glob("*.py")) if 4_000 < p.stat().st_size < 40_000][:count]
    trees = {p.name: ast.parse(p.read_text(encoding="utf-8")) for p in modules}  # all live at once
    index = {name: definitions(tree) for name, tree in trees.items()}
    words = sum((vocabulary(p) for p in modules[: count // 2]), collections.Counter())
    text = json.dumps({"definitions": index, "words": dict(words)}, sort_keys=True)
    packed = zlib.compress(text.encode())
    again = json.loads(zlib.decompress(packed))
    print(f"{len(modules)} modules, {sum(map(len, again['definitions'].values()))} definitions, "
          f"{len(words)} words, {len(packed)} bytes packed")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
