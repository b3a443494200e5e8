"""Evidently's page: kept apart, the same for the same rows, and of one mind with us."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slipstream.reports.evidently_page import DriftSettings, Verdicts, page
from slipstream.stages.deploy import deploy
from slipstream.stages.monitor import monitor
from slipstream.store import Store

NASTY = "</script><script>alert(1)</script>"


def test_evidently_is_kept_apart_and_the_same_for_the_same_rows(
    make_spec: Any, store: Store, committed: Any, make_rows: Any, release: Any
) -> None:
    spec = make_spec(deploy={"target": {"type": "local"}}, monitor={"min_rows": 100})
    deploy(spec, store, release(spec).version, endpoint="")
    committed(spec, make_rows(300, seed=5, first=5000))
    found = monitor(spec, store)
    made = store.objects.get(found.evidently)
    assert b"Data Drift" in made or b"drift" in made
    assert found.evidently != found.report
    import pandas as pd

    frame = pd.DataFrame({"x": np.arange(50.0), "id": ["0c2e4b0c-11ec-1612-aaaa-0123456789ab", None] * 25})
    settings = DriftSettings(("x",), ("id",), "psi", "psi", 0.2, 0.3)
    verdicts = Verdicts("Nothing drifted.", ("x", "id"), ())
    first, second = page(settings, verdicts, frame, frame), page(settings, verdicts, frame, frame)
    assert first == second
    assert b"0c2e4b0c-11ec-1612-aaaa-0123456789ab" in first


@pytest.mark.parametrize("method", ["psi", "jensen_shannon", "chi_square"])
def test_evidently_says_what_we_say(method: str) -> None:
    import pandas as pd

    random = np.random.default_rng(0)

    def frame(rows: int, shift: float) -> pd.DataFrame:
        # So many words that two samples of them differ, whatever all rows say.
        words = [f"w{word}" for word in random.integers(0, 900, rows)]
        return pd.DataFrame({"many": words, "still": random.normal(0, 1, rows), "moved": random.normal(shift, 1, rows)})

    columns = tuple(
        {"column": name, "role": "input", "drifted": name == "moved", "seasonal": False, "method": "psi"}
        | {"statistic": 0.01, "threshold": 0.2, "noise": 0.0, "n_window": 1_000_000}
        for name in ("many", "still", "moved")
    )
    settings = DriftSettings(("still", "moved"), ("many",), "psi", method, 0.2, 0.5)
    verdicts = Verdicts(f"1 of 3 inputs drifted {NASTY}.", ("many", "still", "moved"), columns)
    made = page(settings, verdicts, frame(2000, 0), frame(5000, 2)).decode()
    assert "Drift is detected for 33.333% of columns (1 out of 3)" in made
    assert "Dataset Drift is NOT detected" in made
    ours = made[made.index('<section id="slipstream"') : made.index("</section>")]
    assert "<script" not in ours
    assert ours.count("<td") == 3 * 6
    assert "its thresholds were moved, for: many." in ours
