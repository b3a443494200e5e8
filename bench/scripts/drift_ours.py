"""Drift as the library judges it: a stored profile, and one scan of the window.

``python drift_ours.py profile FILE PROFILE`` writes the profile;
``python drift_ours.py judge PROFILE WINDOW METHOD,METHOD`` prints seconds, peak megabytes, and for each pair of methods
each column's statistic and p-value.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import duckdb  # noqa: F401 - imported before the clock starts, as in a worker
import numpy as np  # noqa: F401
import pyarrow.parquet  # noqa: F401
import scipy.special  # noqa: F401
from drift_data import KINDS

from slipstream.duck import duck
from slipstream.profiling.column_drift import Methods, drifts
from slipstream.profiling.parquet import from_parquet, to_parquet
from slipstream.profiling.profile import profile


def build(file: str, target: str) -> None:
    """The reference profile, as it is stored at training."""
    with duck() as connection:
        found = profile(connection.read_parquet(file), KINDS, [0.0])
    Path(target).write_bytes(to_parquet(found))


def judge(stored: str, file: str, methods: list[str]) -> dict[str, Any]:
    """What is printed; the clock stops after the first pair of methods."""
    started = time.perf_counter()
    reference = from_parquet(Path(stored).read_bytes())
    with duck() as connection:
        window = reference.on(connection.read_parquet(file))
    seconds, judged = 0.0, []
    for pair in methods:
        judged.append(drifts(reference, window, Methods(*pair.split(","), threshold=0.2)))  # type: ignore[arg-type]
        seconds = seconds or time.perf_counter() - started
    columns = {one.column: [] for one in judged[0]}  # type: ignore[var-annotated]
    for verdicts in judged:
        for one in verdicts:
            columns[one.column].append((one.statistic, one.p_value))
    return {
        "seconds": seconds,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "columns": columns,
    }


if __name__ == "__main__":
    if sys.argv[1] == "profile":
        build(*sys.argv[2:4])
    else:
        print(json.dumps(judge(sys.argv[2], sys.argv[3], sys.argv[4:])))
