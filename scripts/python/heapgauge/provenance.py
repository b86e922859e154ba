"""What `heapgauge bench` adds to a file's context: facts of machine and build, a line each, key and value."""

import os

from . import machine
from .errors import EXIT_WELL


def main(_argv):
    """Prints them; what can't be read is left out."""
    facts = machine.facts(os.environ["HEAPGAUGE"], machine.REPOSITORY)
    for key, value in facts.items():
        print(f"{key}\t{' '.join(str(value).split())}")
    return EXIT_WELL
