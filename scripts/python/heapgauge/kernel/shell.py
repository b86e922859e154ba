"""Noisy commands."""

import re
import subprocess
from pathlib import Path

from ..errors import Trouble


def run(words, log, **options):
    """Runs a noisy command with its output in a log; Trouble with the log's end if it fails."""
    with open(log, "ab") as out:
        out.write(f"$ {' '.join(map(str, words))}\n".encode())
        out.flush()
        done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=out,
                              stderr=subprocess.STDOUT, **options)
    if done.returncode:
        lines = [line for line in Path(log).read_text(errors="replace").splitlines() if line.strip()]
        said = next((line for line in lines if re.search(r"\berror:|^E: ", line)), lines[-1])
        raise Trouble(f"{words[0]} failed ({said[:300]}); see {log}")
