"""`python3 -m heapgauge SUBCOMMAND ...`: what the program `heapgauge` runs for its Python subcommands."""

import importlib
import os
import sys

from .errors import EXIT_TROUBLE, Trouble

# Imported only when asked for: scipy alone costs most of a second.
SUBCOMMANDS = ("compare", "report", "gate", "merge", "doctor", "faultscore", "reproducers",
               "clusterfuzzlite", "scaling", "fronts", "provenance")

SAID = {"scaling": "bench --scaling", "fronts": "frag --fronts"}  # what the user typed


def main(argv):
    """Runs one subcommand and returns its exit status."""
    if not argv or argv[0] not in SUBCOMMANDS:
        print(f"heapgauge: expected one of: {', '.join(SUBCOMMANDS)}", file=sys.stderr)
        return EXIT_TROUBLE
    name = argv[0]
    try:
        return importlib.import_module(f".{name}", __package__).main(argv[1:])
    except Trouble as trouble:
        print(f"heapgauge {SAID.get(name, name)}: {trouble}", file=sys.stderr)
        return EXIT_TROUBLE
    except ModuleNotFoundError as missing:
        module = (missing.name or "").split(".")[0]
        print(f"heapgauge {name}: the Python module {module} is missing: "
              f"apt-get install python3-{module}", file=sys.stderr)
        return EXIT_TROUBLE
    except KeyboardInterrupt:
        print(f"\nheapgauge {name}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
