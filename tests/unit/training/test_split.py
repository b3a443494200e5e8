"""Which rows train and which are held out: nothing leaks."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipstream.errors import DataError, NotFound, SpecError
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import Dataset, save_dataset
from slipstream.training.split import reopen, split
from slipstream.training.split_boundaries import Boundaries

TRAINER = {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}
NO_TIME = {"source": {"type": "files", "path": "*.csv"}}
START = datetime(2024, 1, 1)  # noqa: DTZ001 - event times of the data have no zone


def _commit(store: Store, spec: ModelSpec, table: pa.Table, key: str) -> Dataset:
    kinds = {
        "id": "BIGINT",
        "day": "TIMESTAMP",
        "distance": "DOUBLE",
        "hour": "BIGINT",
        "carrier": "VARCHAR",
        "late": "BOOLEAN",
    }
    files = store.tables.append(spec.name, "data", table, key)
    dataset, manifest = save_dataset(store.objects, spec.name, list(kinds.items()), files)
    store.ledger.append(
        "dataset.committed", spec.name, {"dataset": dataset.id, "manifest": manifest, "watermark": ""}, key=key
    )
    return dataset


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.lists(st.integers(0, 60), min_size=30, max_size=80),
    holdout=st.one_of(st.integers(1, 20), st.floats(0.05, 0.6)),
    gap=st.one_of(st.none(), st.integers(1, 10)),
    window=st.one_of(st.none(), st.integers(10, 50)),
    seed=st.integers(0, 2**16),
)
def test_no_training_row_is_at_or_after_the_cutoff(
    days: list[int],
    holdout: int | float,
    gap: int | None,
    window: int | None,
    seed: int,
    tmp_path: Path,
    make_spec: Any,
) -> None:
    train: dict[str, Any] = {"trainer": TRAINER, "holdout": f"{holdout}d" if isinstance(holdout, int) else holdout}
    train |= {"gap": f"{gap}d"} if gap else {}
    train |= {"window": f"{window}d"} if window else {}
    spec = make_spec(train=train)
    random = np.random.default_rng(seed)
    n = len(days)
    table = pa.table(
        {
            "id": pa.array(range(n)),
            "day": pa.array([START + timedelta(days=day) for day in days], pa.timestamp("us")),
            "distance": random.normal(size=n),
            "hour": random.integers(0, 24, n),
            "carrier": pa.array(random.choice(["A", "B"], n)),
            "late": pa.array(random.random(n) < 0.5, mask=random.random(n) < 0.2),
        }
    )
    store = Store.open((tmp_path / f"store-{abs(hash((tuple(days), holdout, gap, window, seed)))}").as_uri())
    dataset = _commit(store, spec, table, "k")
    try:
        cut = split(spec, store, dataset.id)
    except DataError as error:
        assert error.code == "data_split_empty"  # noqa: PT017 - a side may come out empty or not
        return
    fit, held, counts = cut.frame("train"), cut.frame("holdout"), cut.counts()
    cutoff, labelled = pd.Timestamp(cut.boundaries.cutoff), table.to_pandas().dropna(subset=["late"])
    newest = labelled["day"].max()
    assert (fit["day"] < cutoff - timedelta(days=gap or 0)).all()
    assert held["day"].min() == cutoff
    assert set(held["id"]) == set(labelled["id"][labelled["day"] >= cutoff])
    assert not set(fit["id"]) & set(held["id"])
    assert not {*fit["id"], *held["id"]} - set(labelled["id"])
    if isinstance(holdout, int):
        assert (held["day"] > newest - timedelta(days=holdout)).all() or window
    if window:
        assert (fit["day"] > newest - timedelta(days=window)).all()
    assert (counts.train, counts.holdout) == (len(fit), len(held))
    assert counts.train + counts.holdout + counts.unlabelled + counts.outside == n
    for frame in (fit, held):
        assert frame["day"].is_monotonic_increasing


class TestByTime:
    def test_frames_are_typed_and_ordered(self, store: Store, make_spec: Any, make_rows: Any, committed: Any) -> None:
        spec = make_spec(evaluate={"metric": "roc_auc", "slices": ["delay"]})
        rows = make_rows(200, hour=pa.array([True, None] * 100))
        first = split(spec, store, committed(spec, rows).id)
        frame = first.frame("train")
        assert list(frame.columns) == ["distance", "hour", "carrier", "late", "day", "id", "delay"]
        assert frame.dtypes[["distance", "hour"]].eq("float64").all()
        assert frame["hour"].isna().sum() == len(frame) // 2
        assert {type(value) for value in frame["carrier"]} == {str, type(None)}
        assert first.inputs == (("distance", "DOUBLE"), ("hour", "BOOLEAN"), ("carrier", "VARCHAR"))

    def test_a_target_that_is_no_number_is_unlabelled(
        self, store: Store, make_spec: Any, make_rows: Any, committed: Any
    ) -> None:
        ridge = {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}}
        spec = make_spec(task="regression", target="delay", evaluate={"metric": "mae"}, train=ridge)
        delay = np.where(np.arange(200) % 10 == 0, np.nan, 1.0)
        cut = split(spec, store, committed(spec, make_rows(200, delay=delay)).id)
        assert cut.counts().unlabelled == 20
        assert cut.frame("train")["delay"].notna().all()
        assert cut.frame("holdout")["delay"].notna().all()

    def test_order_does_not_depend_on_the_files(
        self, store: Store, make_spec: Any, make_rows: Any, committed: Any
    ) -> None:
        rows = make_rows(200)
        frames = []
        for name, keyed in (("one", ["id"]), ("two", ["id"]), ("three", [])):
            spec = make_spec(name=name, data=NO_TIME | {"time": "day", "key": keyed})
            order = np.random.default_rng(len(name)).permutation(200)
            committed(spec, rows.take(order[:70]))
            columns = ["distance", "hour", "carrier", "late", "day"]
            frames.append(split(spec, store, committed(spec, rows.take(order[70:])).id).frame("train")[columns])
        assert frames[0].equals(frames[1])
        assert frames[0].equals(frames[2])

    def test_a_share_keeps_rows_of_one_instant_together(
        self, store: Store, make_spec: Any, make_rows: Any, committed: Any
    ) -> None:
        spec = make_spec(train={"trainer": TRAINER, "holdout": 0.3})
        days = [START + timedelta(days=number // 50) for number in range(200)]
        cut = split(spec, store, committed(spec, make_rows(200, day=pa.array(days, pa.timestamp("us")))).id)
        assert cut.boundaries.cutoff == "2024-01-03T00:00:00"
        assert cut.counts().train == 100

    @pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us", tz="America/New_York"), pa.timestamp("s")])
    def test_any_kind_of_date(
        self, store: Store, make_spec: Any, make_rows: Any, committed: Any, kind: pa.DataType
    ) -> None:
        spec = make_spec(train={"trainer": TRAINER, "holdout": "2d"})
        days = pa.array([START + timedelta(days=number // 20) for number in range(200)], pa.timestamp("us")).cast(
            pa.timestamp("s")
        )
        days = (
            days.cast(kind)
            if not (pa.types.is_timestamp(kind) and kind.tz)
            else days.cast(pa.timestamp("us")).cast(kind)
        )
        cut = split(spec, store, committed(spec, make_rows(200, day=days)).id)
        assert cut.counts().holdout == 40
        assert cut.boundaries.cutoff.startswith("2024-01-09T")

    def test_a_window_before_the_calendar_is_everything(
        self, store: Store, make_spec: Any, make_rows: Any, committed: Any
    ) -> None:
        spec = make_spec(train={"trainer": TRAINER, "window": "999999w", "holdout": "1d"})
        assert split(spec, store, committed(spec, make_rows(200)).id).counts().outside == 0

    def test_recorded_boundaries_outlive_the_model_file(
        self, store: Store, make_spec: Any, make_rows: Any, committed: Any
    ) -> None:
        spec = make_spec(train={"trainer": TRAINER, "holdout": 0.5})
        dataset = committed(spec, make_rows(200))
        cut = split(spec, store, dataset.id)
        later = make_spec(train={"trainer": TRAINER, "holdout": 0.1})
        assert reopen(later, store, dataset.id, cut.boundaries).frame("holdout").equals(cut.frame("holdout"))

    def test_seen_rows_are_told(self, store: Store, make_spec: Any, make_rows: Any, committed: Any) -> None:
        spec = make_spec(train={"trainer": TRAINER, "holdout": 0.5})
        dataset = committed(spec, make_rows(200))
        cut = split(spec, store, dataset.id)
        later = split(make_spec(train={"trainer": TRAINER, "holdout": 0.1}), store, dataset.id)
        assert cut.seen(cut.boundaries).sum() == 0
        assert cut.seen(later.boundaries).sum() == cut.counts().holdout - later.counts().holdout
        assert later.seen(cut.boundaries).sum() == 0
        assert cut.seen(Boundaries(key=("else",), share=0.1)) is None


class TestByKey:
    def test_rows_keep_their_side_and_equal_rows_share_one(
        self, store: Store, make_spec: Any, make_rows: Any, committed: Any
    ) -> None:
        spec = make_spec(data=NO_TIME | {"key": ["id"]}, train={"trainer": TRAINER, "holdout": 0.3})
        small = split(spec, store, committed(spec, make_rows(500)).id)
        large = split(spec, store, committed(spec, make_rows(500, first=500, seed=1)).id)
        assert set(small.frame("holdout")["id"]) == {i for i in large.frame("holdout")["id"] if i < 500}
        assert 0.25 < large.counts().holdout / 1000 < 0.35
        spec = make_spec(name="twins", data=NO_TIME)
        rows = make_rows(100)
        twins = split(spec, store, committed(spec, pa.concat_tables([rows, rows])).id)
        fit, held = (set(twins.frame(part)["distance"].dropna()) for part in ("train", "holdout"))
        assert not fit & held

    def test_order_is_that_of_the_dataset_version(
        self, store: Store, make_spec: Any, make_rows: Any, committed: Any
    ) -> None:
        spec = make_spec(data=NO_TIME | {"key": ["id"]})
        cut = split(spec, store, committed(spec, make_rows(300)).id)
        assert cut.frame("train")["id"].is_monotonic_increasing


class TestBadInput:
    @pytest.mark.parametrize(
        ("spec", "columns", "code", "text"),
        [
            ({"inputs": ["distanse"]}, {}, "data_schema_changed", "no column 'distanse'; did you mean 'distance'?"),
            ({}, {"carrier": [[1]] * 200}, "spec_input_type", "input 'carrier' is BIGINT[]"),
            (
                {},
                {"day": list(range(200))},
                "data_time_invalid",
                "event time 'day' is BIGINT; it must be a DATE or TIMESTAMP",
            ),
            ({}, {"late": pa.nulls(200, pa.bool_())}, "data_split_empty", "no row has both 'late' and 'day'"),
            (
                {},
                {"day": [date(2024, 1, 1)] * 200},
                "data_split_empty",
                "no rows to train on (0 training, 200 held out",
            ),
            ({"evaluate": {"metric": "roc_auc", "slices": ["where"]}}, {}, "data_schema_changed", "no column 'where'"),
            ({"target": "lat"}, {}, "data_schema_changed", "no column 'lat'; did you mean 'late'?"),
        ],
    )
    def test_what_is_wrong_is_named(
        self,
        store: Store,
        make_spec: Any,
        make_rows: Any,
        committed: Any,
        spec: Any,
        columns: Any,
        code: str,
        text: str,
    ) -> None:
        made = make_spec(**spec)
        dataset = committed(made, make_rows(200, **columns))
        with pytest.raises((DataError, SpecError)) as caught:
            split(made, store, dataset.id)
        assert caught.value.code == code
        assert text in str(caught.value)

    def test_infinite_values_are_refused(self, store: Store, make_spec: Any, make_rows: Any, committed: Any) -> None:
        spec = make_spec()
        dataset = committed(spec, make_rows(200, distance=[float("inf")] * 2 + [1.0] * 197 + [-float("inf")]))
        cut = split(spec, store, dataset.id)
        with pytest.raises(DataError, match=r"column 'distance' is infinite in 2 of 160 rows \(train\)") as caught:
            cut.frame("train")
        assert caught.value.code == "data_not_finite"

    def test_an_unknown_dataset(self, store: Store, make_spec: Any) -> None:
        with pytest.raises(NotFound, match="no dataset version 'nothing'"):
            split(make_spec(), store, "nothing")

    def test_names_are_never_sql(self, store: Store, make_spec: Any, make_rows: Any, committed: Any) -> None:
        evil = 'x" FROM range(9); --'
        spec = make_spec(inputs=[evil], data=NO_TIME)
        rows = make_rows(200).append_column(evil, pa.array(range(200)))
        assert split(spec, store, committed(spec, rows).id).frame("train")[evil].dtype == "float64"
