"""``make bench SUITE=drift``: judging a window of 17 columns against a stored profile, against Evidently and a re-read.

Ours reads the stored profile, scans the window's Parquet file and judges each column. Evidently's DataDriftPreset and
the re-read (``pandas``: column by column, the same statistics from the raw values with NumPy and SciPy) load both
files. Each measurement is a process of its own that imports before its clock starts; memory is that of the whole
process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parent / "scripts"))

from drift_data import KINDS, NUMBERS, WORDS, write
from report import QUICK, Row, report, row, row_more

SCRIPTS = Path(__file__).resolve().parent / "scripts"
ROUNDS = 1 if QUICK else 3
SMALL, LARGE = (20_000, 200_000) if QUICK else (1_000_000, 10_000_000)
FEW, MANY = ("20k", "200k") if QUICK else ("1M", "10M")
DEFAULT = "psi,psi"
METHODS = (DEFAULT, "ks,chi_square", "wasserstein,jensen_shannon", "jensen_shannon,psi")
THRESHOLDS = (0.05, 0.1, 0.2)
FALSE_ALARMS = 0.01
SHIFTED = {
    "x0": f"0.1 + {NUMBERS['x0']}",
    "x1": f"30 + {NUMBERS['x1']}",
    "x2": "CASE WHEN random() < 0.15 THEN NULL ELSE random() END",
    "x5": f"1.5 * {NUMBERS['x5']}",
    "income": f"1.5 * {NUMBERS['income']}",
    "n1": "(1 + random() * 10)::INT",
    "s0": f"CASE WHEN random() < 0.1 THEN 'new' ELSE {WORDS['s0']} END",
    "s1": f"CASE WHEN random() < 0.2 THEN 'cat0' ELSE {WORDS['s1']} END",
    "s3": f"CASE WHEN random() < 0.3 THEN 'new' || (random() * 5000)::INT ELSE {WORDS['s3']} END",
}
"""What is planted in the window: nine columns, from a shift that matters to nobody to one that everybody sees."""


def run(script: str, *words: str | Path) -> dict[str, Any]:
    """What one of the scripts prints."""
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), *map(str, words)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    return found


def compared(ours: dict[str, Any], exact: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """How many verdicts there are, and those in which the profile and the raw values differ."""
    from scipy.stats import false_discovery_control

    count, differ = 0, []
    for at, methods in enumerate(METHODS):
        sides = [{name: found["columns"][name][at] for name in KINDS} for found in (ours, exact)]
        proven = [false_discovery_control([p for _, p in side.values()]) <= FALSE_ALARMS for side in sides]
        for threshold in THRESHOLDS:
            for nth, name in enumerate(KINDS):
                own, true = (side[name][0] for side in sides)
                verdicts = [
                    bool(known[nth] and side[name][0] > threshold) for known, side in zip(proven, sides, strict=True)
                ]
                count += 1
                if verdicts[0] != verdicts[1]:
                    method = methods.split(",")[not KINDS[name]]
                    differ.append(
                        {"column": name, "method": method, "threshold": threshold, "ours": own, "exact": true,
                         "p_values": [side[name][1] for side in sides]}
                    )  # fmt: skip
    return count, differ


def largest(ours: dict[str, Any], exact: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """For each method the column in which the profile and the raw values are furthest apart."""
    found: dict[str, dict[str, Any]] = {}
    for at, methods in enumerate(METHODS):
        for name, number in KINDS.items():
            own, true = (side["columns"][name][at][0] for side in (ours, exact))
            method = methods.split(",")[not number]
            if abs(own - true) >= found.get(method, {"apart": 0.0})["apart"]:
                found[method] = {"column": name, "ours": own, "exact": true, "apart": abs(own - true)}
    return found


def rows_of(case: str, ours: list[Any], peer: list[Any], name: str) -> list[Row]:
    """Time and memory of ours and of one peer."""
    return [
        row(f"{case} {what}", unit, [one[key] for one in ours], [one[key] for one in peer], name)
        for key, unit, what in (("seconds", "seconds", "scan and verdicts"), ("peak", "MB peak", "memory"))
    ]


def main() -> list[Row]:
    """Make the files, run all rounds and report."""
    with TemporaryDirectory() as folder:
        reference, small, large, stored = (Path(folder) / name for name in ("a", "b", "c", "profile"))
        write(reference, SMALL, 0.1)
        write(small, SMALL, 0.2, SHIFTED)
        write(large, LARGE, 0.3, SHIFTED)
        run("drift_ours", "profile", reference, stored)
        ours, again, many = [], [], []
        for _ in range(ROUNDS):
            ours.append(run("drift_ours", "judge", stored, small, DEFAULT))
            again.append(run("drift_exact", reference, small, DEFAULT))
            many.append(run("drift_ours", "judge", stored, large, DEFAULT))
        evidently = [run("drift_evidently", reference, small)]
        many_again = [run("drift_exact", reference, large, DEFAULT)]
        judged = run("drift_ours", "judge", stored, small, *METHODS), run("drift_exact", reference, small, *METHODS)
    count, differ = compared(*judged)
    own, grown = ([[one[key] for one in side] for key in ("seconds", "peak")] for side in (ours, many))
    rows = [
        *rows_of(f"{FEW} rows", ours, evidently, "evidently"),
        *rows_of(f"{FEW} rows", ours, again, "pandas"),
        row(f"{FEW} rows memory, target 400", "MB peak", own[1], [400], "target"),
        row_more(f"{FEW} rows verdicts as from the raw values", "verdicts", [count - len(differ)], [count], "pandas"),
        *rows_of(f"{MANY} rows", many, many_again, "pandas"),
        row(f"{MANY} rows seconds, target 12 times {FEW}", "seconds", grown[0], [12 * one for one in own[0]], "target"),
        row(
            f"{MANY} rows memory, target 1.3 times {FEW}", "MB peak", grown[1], [1.3 * one for one in own[1]], "target"
        ),
    ]
    far = largest(*judged)
    report("drift", rows, {"differences": differ, "largest": far})
    told(rows, differ, far)
    return rows


def told(rows: list[Row], differ: list[dict[str, Any]], far: dict[str, dict[str, Any]]) -> None:
    """Print the targets, and how far the profile is from the raw values."""
    for one, ratio in ((rows[0], 50.0), *((one, 1.0) for one in rows if one.peer_name == "target")):
        word = "met" if one.ratio >= ratio else "MISSED"
        print(f"{word:7} {one.case} against {one.peer_name}: {one.ratio:.2f}x, target {ratio:g}x")
    for method, case in far.items():
        print(f"furthest from exact, {method}: {case['column']} {case['ours']:.5f}, exact {case['exact']:.5f}")
    for case in differ:
        print(f"another verdict: {case}")


if __name__ == "__main__":
    main()
