"""Heapgauge's measuring, statistics and tables: the Python behind `heapgauge compare` and its kin."""
