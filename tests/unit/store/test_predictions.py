"""Captured predictions of every release are read alike: those with a role, with a route, and from before both."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from slipstream.duck import duck
from slipstream.store import Store
from slipstream.store.predictions import TABLE, find_predictions, read_predictions, redacted_inputs

RELEASES = [
    {},
    {"route": ["champion", "challenger", "shadow"]},
    {"role": ["champion", "challenger", "shadow"]},
]


@pytest.fixture
def captured(tmp_path: Path) -> Store:
    """Three rows of each release, in the order of :data:`RELEASES`; ids are 00 to 22."""
    store = Store.open(tmp_path.as_uri())
    for place, more in enumerate(RELEASES):
        columns = {
            "prediction_id": [f"{place}{number}" for number in range(3)],
            "version": [1, 1, 1],
            "inputs": [{"role": "clerk"}, {"role": "clerk"}, {"role": "smith"}],
            "redacted": [None, '["a", "b"]', '["b"]'],
            "prediction": ["true", "false", "true"],
            "probability": [0.9, 0.1, 0.8],
            **more,
        }
        store.tables.append("m", TABLE, pa.table(columns), key=str(place))
    return store


def test_each_row_has_its_role(captured: Store) -> None:
    with duck() as connection:
        rows = read_predictions(connection, captured.tables.paths("m", TABLE), filename="file")
        assert {"role", "file"} <= set(rows.columns)
        assert "route" not in rows.columns
        roles = dict(rows.project("prediction_id, role").fetchall())
        assert [roles[f"0{number}"] for number in range(3)] == ["champion"] * 3
        for place in (1, 2):
            assert [roles[f"{place}{number}"] for number in range(3)] == ["champion", "challenger", "shadow"]
        jobs = dict(rows.project("prediction_id, inputs.role").fetchall())
        assert jobs["00"] == "clerk", "an input of that name is none of ours"


def test_what_is_redacted_is_named_once(captured: Store) -> None:
    with duck() as connection:
        rows = read_predictions(connection, captured.tables.paths("m", TABLE))
        assert redacted_inputs(rows) == {'["a", "b"]': frozenset("ab"), '["b"]': frozenset("b")}
        assert redacted_inputs(rows.project("version")) == {}


def test_a_shadow_is_never_found_by_the_id_that_it_shares(captured: Store) -> None:
    found, damaged = find_predictions(captured.tables, "m", ["01", "11", "12", "21", "22", "none"])
    assert sorted(found) == ["01", "11", "21"]
    assert damaged == ()
    assert (found["11"].answer, found["11"].redacted) == (0.1, ("a", "b"))
