"""make.py PROGRAM FOLDER: writes man pages and completions, made of what PROGRAM prints as help.

    FOLDER/man1/heapgauge*.1   FOLDER/bash/heapgauge   FOLDER/zsh/_heapgauge   FOLDER/fish/heapgauge.fish
"""

import os
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True

import pages  # noqa: E402
import shells  # noqa: E402
import texts  # noqa: E402


def main(program, folder):
    top, commands, version = texts.read(program)
    # A distribution sets SOURCE_DATE_EPOCH, so that a build repeats.
    date = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))
    backends = texts.backend_names(program)
    files = {f"man1/{name}": text for name, text in pages.render(top, commands, version, date).items()}
    files["bash/heapgauge"] = shells.bash(commands, backends)
    files["zsh/_heapgauge"] = shells.zsh(commands, backends)
    files["fish/heapgauge.fish"] = shells.fish(commands, backends)
    for name, text in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
