"""Heapgauge inside a real kernel: fetch, build, boot, ask. The command is `scripts/kernel-run` (run.py)."""
