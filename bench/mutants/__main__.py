"""Whether the tests notice mistakes: ``make mutants``, or ``python bench/mutants COUNT SEED JOBS [NUMBER ...]``.

Draws so many small mistakes (:mod:`sites`) at random over the core, puts one at a time into a copy of the tree, and
runs the tests that are nearest to the file (:mod:`nearest`) there until one fails: the mutant is *killed* if that same
test passes without it. The checkout is never touched. The seed is printed, and with it the same tree gives the same
mutants; with numbers, only those of them are judged.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

sys.path.insert(0, str(Path(__file__).resolve().parent))

from nearest import nearest
from sites import Mutation, mutations

ROOT = Path(__file__).resolve().parents[2]
CORE = (
    "include/slipstream/store/*.py",
    "include/slipstream/stages/*.py",
    "include/slipstream/evaluation/*.py",
    "include/slipstream/training/*.py",
    "include/slipstream/ground_truth/*.py",
    "include/slipstream/monitoring/*.py",
    "include/slipstream/retraining/*.py",
    "include/slipstream/rollout/*.py",
    "include/slipstream/replay/*.py",
    "include/slipstream/profiling/*.py",
    "include/slipstream/bundle/*.py",
    "include/slipstream/compiler/*.py",
    "include/slipstream/serving/models/traffic_split.py",
    "include/slipstream/serving/http/app.py",
)
TESTS = 6
"""So many test files are run at most."""
SECONDS = 200
"""And so long."""
ENOUGH = 0.85
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.M)


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant.

    Attributes:
        verdict: ``killed``, ``survived``, or ``unknown`` where the time was over before the tests were.
        by: The test that failed, or how many files of tests did not.
        seconds: How long it took.
    """

    verdict: str
    by: str
    seconds: float


def drawn(count: int, seed: int) -> list[Mutation]:
    """So many mistakes of the core."""
    paths = sorted({path for pattern in CORE for path in ROOT.glob(pattern)})
    every = [one for path in paths for one in mutations(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))]
    return random.Random(seed).sample(every, count)


def copied(folder: Path) -> Path:
    """A copy of the files that belong to the checkout, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def judged(tree: Path, one: Mutation) -> Outcome:
    """Run the tests with the mistake; one that fails without it too says nothing, and is left out."""
    began = time.monotonic()
    tests = nearest(tree, one.path.removeprefix("include/").removesuffix(".py").replace("/", "."), TESTS)
    broken: list[str] = []
    try:
        while True:
            with made(tree / one.path, one):
                failed = run(tree, tests, broken)
            if not failed or not run(tree, [failed]):
                break
            broken.append(failed)
    except subprocess.TimeoutExpired:
        return Outcome("unknown", f"none of {len(tests)} files in time", time.monotonic() - began)
    verdict, by = ("killed", failed.removeprefix("tests/")) if failed else ("survived", f"{len(tests)} files of tests")
    return Outcome(verdict, by, time.monotonic() - began)


@contextmanager
def made(file: Path, one: Mutation) -> Iterator[None]:
    """The mistake in the file, for the ``with`` block."""
    source = file.read_bytes()
    file.write_bytes(one.applied(source))
    try:
        yield
    finally:
        file.write_bytes(source)


def run(tree: Path, tests: list[str], without: Sequence[str] = ()) -> str:
    """The first of *tests* that fails, but for those *without*; "" if none does."""
    paths = os.pathsep.join(str(tree / part) for part in ("include", "plugins", ""))
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--timeout=60", *tests]
    words += [f"--deselect={test}" for test in without]
    with subprocess.Popen(
        words,
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    found = _FAILED.search(said)
    return found[1] if found else tests[0] if process.returncode else ""


def main(count: int, seed: int, jobs: int, only: list[int]) -> int:
    """Judge the mutants; the exit code is 1 if too many survive."""
    chosen = list(enumerate(drawn(count, seed), start=1))
    chosen = [one for one in chosen if not only or one[0] in only]
    print(f"{len(chosen)} mutants of seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(jobs) as pool:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            trees.put(copied(Path(folder) / str(number)))

        def work(numbered: tuple[int, Mutation]) -> str:
            number, one = numbered
            tree = trees.get()
            try:
                found = judged(tree, one)
            finally:
                trees.put(tree)
            place = f"{one.path.removeprefix('include/slipstream/')}:{one.line}"
            what = f"`{one.before[:70]}` -> `{one.after[:70]}`"
            print(f"| {number} | {found.verdict} | {place} | {what} | {found.by} | {found.seconds:.0f} s |", flush=True)
            return found.verdict

        verdicts = list(pool.map(work, chosen))
    killed, unknown = verdicts.count("killed"), verdicts.count("unknown")
    print(f"killed {killed} of {len(chosen)} ({killed / len(chosen):.0%}), {unknown} not known, seed {seed}")
    return int(killed < ENOUGH * len(chosen))


if __name__ == "__main__":
    count, seed, jobs, *only = map(int, sys.argv[1:])
    sys.exit(main(count, seed, jobs, only))
