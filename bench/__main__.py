"""``python -m bench [SUITE ...]``: measure against the peers; ``all``, or no suite: all that there are.

With QUICK in the environment the same code runs on tiny sizes, in seconds.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SUITES = sorted(file.stem for file in FOLDER.glob("*.py") if not file.stem.startswith("_") and file.stem != "report")


def main(wanted: list[str]) -> int:
    """Run each suite in a process of its own, so that none warms another; returns the worst exit code."""
    wanted = [suite for suite in wanted if suite != "all"]
    unknown = [suite for suite in wanted if suite not in SUITES]
    if unknown:
        print(f"No suite is called {', '.join(unknown)}. Known: {', '.join(SUITES)}.", file=sys.stderr)
        return 2
    return max(run(suite) for suite in wanted or SUITES)


def run(suite: str) -> int:
    """The exit code of a suite, which is asked to clean up if this process is asked to end."""
    with subprocess.Popen([sys.executable, str(FOLDER / f"{suite}.py")], cwd=FOLDER.parent) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
