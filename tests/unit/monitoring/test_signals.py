"""Signals of drift: each finds what was planted for it, and none fires in a quiet window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.stages.monitor import Monitored, monitor
from slipstream.store import Store

ALL = ["inputs", "prediction", "target", "missing", "unknown", "explanations"]
ROWS = 1000


@pytest.fixture
def watched(make_spec: Any, store: Store, release: Any) -> Callable[..., ModelSpec]:
    """``watched(drift={...}, window="300h")``: the spec of a model whose first version serves."""

    def make(drift: dict[str, Any] | None = None, changed: dict[str, Any] | None = None, **watch: Any) -> ModelSpec:
        settings = {"min_rows": 100, "evidently": False, "drift": {"signals": ALL, **(drift or {})}, **watch}
        spec: ModelSpec = make_spec(monitor=settings, deploy={"target": {"type": "local"}}, **(changed or {}))
        deploy(spec, store, release(spec).version, endpoint="")
        return spec

    return make


def signals_of(store: Store, found: Monitored) -> dict[str, Any]:
    signals: dict[str, Any] = store.objects.get_json(found.details)["signals"]
    return signals


def blanked(table: pa.Table, column: str, share: float) -> pa.Table:
    mask = pa.array(np.random.default_rng(3).random(table.num_rows) < share)
    values = pc.if_else(mask, pa.scalar(None, table[column].type), table[column])
    return table.set_column(table.schema.get_field_index(column), column, values)


def test_a_quiet_window_is_quiet(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched()
    for seed in (5, 6, 7):
        committed(spec, make_rows(ROWS, seed=seed, first=10_000 * seed))
        found = monitor(spec, store)
        assert (found.drifted, found.signals, found.quality_lost) == (False, (), False), found.verdict
        measured = signals_of(store, found)
        assert set(measured) == set(ALL)
        assert all(signal["value"] < signal["limit"] and not signal["fired"] for signal in measured.values())


def test_missing_values(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched({"share": 1.0})
    committed(spec, blanked(make_rows(ROWS, seed=5, first=10_000), "carrier", 0.25))
    found = monitor(spec, store)
    assert "missing" in found.signals
    assert "unknown" not in found.signals
    assert found.verdict.startswith("Missing values: carrier ")
    signal = signals_of(store, found)["missing"]
    assert signal["limit"] == 0.1
    assert 0.2 < signal["value"] < 0.3


@pytest.mark.parametrize(("share", "fired"), [(0.12, False), (0.15, True)])
def test_a_rise_of_missing_values_fires_where_chance_is_ruled_out(
    share: float, fired: bool, watched: Any, store: Store, committed: Any, make_rows: Any
) -> None:
    """About 25 of 480 and 12 or 15 of 100, at a third of a sixth of 1 %: p is 0.004 and 0.0001 (two shares, pooled)."""
    spec = watched({"missing": 0.01, "share": 1.0}, min_rows=100)
    rows = make_rows(100, seed=5, first=10_000, carrier=["A", "B"] * 50, distance=[0.0, 1.0] * 50)
    committed(spec, blanked_first(rows, "carrier", int(100 * share)))
    found = signals_of(store, monitor(spec, store))["missing"]
    assert found["fired"] is fired, found


def blanked_first(table: pa.Table, column: str, count: int) -> pa.Table:
    mask = pa.array(np.arange(table.num_rows) < count)
    values = pc.if_else(mask, pa.scalar(None, table[column].type), table[column])
    return table.set_column(table.schema.get_field_index(column), column, values)


def test_a_rise_that_is_allowed_is_quiet(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched({"missing": 0.4, "threshold": 1.0})
    committed(spec, blanked(make_rows(ROWS, seed=5, first=10_000), "carrier", 0.25))
    assert monitor(spec, store).signals == ()


def test_words_that_training_never_saw(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched({"share": 1.0})
    carriers = np.random.default_rng(4).choice(["A", "B", "C", "new"], ROWS, p=[0.3, 0.3, 0.2, 0.2])
    committed(spec, make_rows(ROWS, seed=5, first=10_000, carrier=carriers))
    found = monitor(spec, store)
    assert "unknown" in found.signals
    assert found.verdict.startswith("Words that training never saw: carrier in ")


def test_words_of_which_most_are_always_new(
    make_spec: Any, store: Store, committed: Any, make_rows: Any, release: Any
) -> None:
    def rows(seed: int) -> pa.Table:
        words = [f"w{word}" for word in np.random.default_rng(seed).integers(0, 5000, ROWS)]
        return make_rows(ROWS, seed=seed, first=10_000 * seed, carrier=words)

    train = {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}, "window": "900h"}
    settings = {"min_rows": 100, "evidently": False, "drift": {"signals": ALL}}
    spec = make_spec(monitor=settings, deploy={"target": {"type": "local"}}, train=train)
    committed(spec, rows(1))
    deploy(spec, store, release(spec).version, endpoint="")
    committed(spec, rows(2))
    found = monitor(spec, store)
    signal = signals_of(store, found)["unknown"]
    assert signal["value"] > 0.7
    assert not signal["fired"]


def test_the_answers_and_the_target(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched({"share": 1.0})
    random = np.random.default_rng(4)
    rows = make_rows(
        ROWS, seed=5, first=10_000, distance=random.normal(2.5, 0.5, ROWS), late=random.random(ROWS) < 0.95
    )
    committed(spec, rows)
    found = monitor(spec, store)
    assert {"prediction", "target"} <= set(found.signals)
    assert found.verdict.startswith("The answer drifted (psi ")
    assert "the target drifted (late psi " in found.verdict


def test_shown_but_not_counted(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched({"signals": ["inputs"], "share": 1.0})
    committed(spec, make_rows(ROWS, seed=5, first=10_000, late=np.random.default_rng(4).random(ROWS) < 0.95))
    found = monitor(spec, store)
    assert (found.drifted, found.signals) == (False, ())
    assert signals_of(store, found)["target"]["fired"]


def test_other_reasons_for_the_answers(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched({"explanations": 0.1, "share": 1.0})
    # The distance varies no more, so that nothing is left of what it contributed.
    committed(spec, make_rows(ROWS, seed=5, first=10_000, distance=np.random.default_rng(4).normal(0, 0.02, ROWS)))
    found = monitor(spec, store)
    assert "explanations" in found.signals
    shift = store.objects.get_json(found.details)["explanations"]
    assert shift["moved"] > 0.1
    assert shift["p_value"] < 0.002
    assert shift["reference"]["distance"] > shift["window"]["distance"]
    assert "of the contributions moved to other inputs (" in found.verdict


def test_explanations_of_what_is_not_compiled(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    trainer = {"type": "sklearn", "estimator": "sklearn.neighbors.KNeighborsClassifier"}
    spec = watched(changed={"train": {"trainer": trainer}})
    committed(spec, make_rows(ROWS, seed=5, first=10_000))
    found = monitor(spec, store)
    signal = signals_of(store, found)["explanations"]
    assert (signal["fired"], signal["value"]) == (False, None)
    assert "shift in explanations: the champion is not compiled" in store.objects.get_json(found.details)["not_judged"]


@pytest.mark.parametrize(
    ("column", "values"),
    [("distance", pa.nulls(ROWS, pa.float64())), ("carrier", pa.nulls(ROWS, pa.string()))],
    ids=["numbers", "words"],
)
def test_a_column_without_values(
    watched: Any, store: Store, committed: Any, make_rows: Any, column: str, values: Any
) -> None:
    spec = watched({"share": 1.0})
    committed(spec, make_rows(ROWS, seed=5, first=10_000, **{column: values}))
    found = monitor(spec, store)
    assert "missing" in found.signals
    assert column in found.drifted_columns
    assert b"NaN" not in store.objects.get(found.details)


def test_a_column_of_one_value(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched()
    committed(spec, make_rows(ROWS, seed=5, first=10_000, hour=pa.array([7] * ROWS)))
    found = monitor(spec, store)
    assert found.drifted_columns == ("hour",)
    assert b"NaN" not in store.objects.get(found.details)


def test_the_reference_itself_is_no_drift(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched()
    committed(spec, make_rows(600))  # the rows that it was trained on, once more
    found = monitor(spec, store)
    assert found.signals == ()
    assert b"NaN" not in store.objects.get(found.details)


@pytest.mark.parametrize("season", [None, "2000h"])
def test_as_one_season_before(watched: Any, store: Store, committed: Any, make_rows: Any, season: str | None) -> None:
    def far(seed: int, first: int) -> pa.Table:
        return make_rows(400, seed=seed, first=first, distance=np.random.default_rng(seed).normal(3, 1, 400))

    spec = watched({"season": season}, window="400h")
    committed(spec, far(8, 2000))
    committed(spec, make_rows(600, seed=9, first=2400))
    committed(spec, far(11, 4000))
    found = monitor(spec, store)
    assert found.rows == 400
    if season is None:
        assert (found.drifted_columns, found.seasonal) == (("distance",), ())
        return
    assert (found.signals, found.drifted_columns) == ((), ())
    assert set(found.seasonal) == {"distance", "slipstream_prediction"}
    assert "0 of 3 inputs drifted in 400 rows" in found.verdict
    assert ", 1 more looks as it did 2000h before" in found.verdict
    assert b"1 more looks as it did 2000h before" in store.objects.get(found.report)


def test_without_rows_of_a_season_before(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched({"season": "365d"})
    committed(spec, make_rows(ROWS, seed=5, first=10_000, distance=np.random.default_rng(4).normal(3, 1, ROWS)))
    found = monitor(spec, store)
    assert found.drifted_columns == ("distance",)
    reason = "season of 365d: there are 0 rows of 365d before, fewer than monitor.min_rows"
    assert reason in store.objects.get_json(found.details)["not_judged"]
