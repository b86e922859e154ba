"""How the Python half of Heapgauge ends: exit statuses, the one exception that carries a message, and command lines that
say in one line what is wrong with them."""

import argparse

EXIT_WELL = 0
EXIT_FINDING = 1  # a broken promise, a proven regression, a noisy machine
EXIT_TROUBLE = 2  # usage or environment


class Trouble(Exception):
    """Something the user must mend. Its text is one line: what is wrong, where, and what to do."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong without the whole usage in front of it."""

    def error(self, message):
        self.exit(EXIT_TROUBLE, f"{self.prog}: {message}; see: {self.prog} --help\n")
