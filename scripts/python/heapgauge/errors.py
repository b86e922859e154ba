"""How the Python half of Heapgauge ends: exit statuses, and the one exception that carries a message."""

EXIT_WELL = 0
EXIT_FINDING = 1  # a broken promise, a proven regression, a noisy machine
EXIT_TROUBLE = 2  # usage or environment


class Trouble(Exception):
    """Something the user must mend. Its text is one line: what is wrong, where, and what to do."""
