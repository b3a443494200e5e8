"""Drift as Evidently judges it: its DataDriftPreset on both files in pandas.

``python drift_evidently.py REFERENCE WINDOW`` prints seconds (loading included, no HTML made) and peak megabytes.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings

import pandas as pd
from drift_data import NUMBERS, WORDS
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset


def main(files: list[str]) -> dict[str, float]:
    """What is printed."""
    started = time.perf_counter()
    kinds = DataDefinition(numerical_columns=list(NUMBERS), categorical_columns=list(WORDS))
    before, now = (Dataset.from_pandas(pd.read_parquet(file), data_definition=kinds) for file in files)
    Report([DataDriftPreset()]).run(now, before).dict()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": time.perf_counter() - started, "peak": peak}


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(json.dumps(main(sys.argv[1:3])))
