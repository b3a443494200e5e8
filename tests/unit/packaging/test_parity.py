"""The parity gate: a compiled model that answers otherwise never serves, and the card says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from slipstream.bundle.bundle import FILES, open_bundle
from slipstream.bundle.scorer import load_scorer
from slipstream.compiler.engine import CompiledEngine
from slipstream.model_schema import Field, Schema
from slipstream.packaging.parity import gate
from slipstream.packaging.parity.comparison import check
from slipstream.packaging.parity.rows import odd_rows, values
from slipstream.store import Store

SCHEMA = Schema(
    "binary",
    "y",
    (
        Field("x", "number", nullable=True, low=0.0, high=10.0),
        Field("n", "integer", nullable=False, low=0.0, high=5.0),
        Field("w", "string", nullable=True, categories=("a", "b")),
    ),
    (False, True),
    True,
)
NUMBER = Schema("regression", "y", SCHEMA.inputs)
HELD = {"x": [1.0, 2.0, 3.0], "n": [1, 2, 3], "w": ["a", "b", None]}


@dataclass(frozen=True)
class Answering:
    """An engine that answers by a function of the rows."""

    answer: Callable[[dict[str, Any]], float]
    classes: bool = True

    def run(self, columns: Mapping[str, Sequence[Any]]) -> Any:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        found = np.array([self.answer(row) for row in rows], dtype=np.float64)
        return np.column_stack((1 - found, found)) if self.classes else found


def steady(row: dict[str, Any]) -> float:
    return 0.25


def test_equal_engines_pass() -> None:
    found = check(Answering(steady), Answering(steady), SCHEMA, [HELD, HELD], {"x": (2.5,)})
    assert found.passed
    assert found.rows > 40
    assert (found.worst, found.flips, found.reason) == (0.0, 0, None)


PLANTED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "everywhere": lambda row: True,
    "null": lambda row: row["x"] is None,
    "an unknown word": lambda row: row["w"] not in {"a", "b", None, ""},
    "an empty word": lambda row: row["w"] == "",
    "at a threshold": lambda row: row["x"] == 2.5,
    "just above it": lambda row: row["x"] == np.nextafter(2.5, 3),
    "just below it": lambda row: row["x"] == np.nextafter(2.5, 2),
    "above it in single precision": lambda row: row["x"] == float(np.nextafter(np.float32(2.5), np.float32(3))),
    "far outside": lambda row: (row["x"] or 0) > 1e6,
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_difference_is_found(name: str) -> None:
    wrong = Answering(lambda row: 0.25 + 2e-6 * PLANTED[name](row))
    found = check(wrong, Answering(steady), SCHEMA, [HELD], {"x": (2.5,)})
    assert not found.passed
    assert "differs by up to 2.0e-06" in str(found.reason)
    close = Answering(lambda row: 0.25 + 0.9e-6 * PLANTED[name](row))
    assert check(close, Answering(steady), SCHEMA, [HELD], {"x": (2.5,)}).passed


def test_a_flipped_label_is_found_however_small_the_difference() -> None:
    wrong = Answering(lambda row: 0.5 + 1e-9 * (row["x"] == 2.0))
    found = check(wrong, Answering(lambda row: 0.5), SCHEMA, [HELD], {})
    assert found.flips > 0
    assert "another label" in str(found.reason)


def test_numbers_are_compared_relative_to_their_size() -> None:
    def off(share: float) -> Answering:
        return Answering(lambda row: 1e6 * (1 + share), classes=False)

    assert check(off(0.9e-6), off(0.0), NUMBER, [HELD], {}).passed
    assert not check(off(1.1e-6), off(0.0), NUMBER, [HELD], {}).passed


def test_answers_that_are_no_number_must_agree() -> None:
    def endless(row: dict[str, Any]) -> float:
        return float("inf") if row["x"] and row["x"] > 1e6 else 1.0

    engine = Answering(endless, classes=False)
    assert check(engine, engine, NUMBER, [HELD], {}).passed
    found = check(Answering(lambda row: 1.0, classes=False), engine, NUMBER, [HELD], {})
    assert not found.passed


def test_another_shape_and_a_refusal_are_found() -> None:
    found = check(Answering(steady, classes=False), Answering(steady), SCHEMA, [HELD], {})
    assert found.reason == "The compiled answers have another shape."

    def refuses(row: dict[str, Any]) -> float:
        if row["x"] is None:
            raise ValueError("no such row.\nAnd more.")
        return 0.25

    found = check(Answering(steady), Answering(refuses), SCHEMA, [HELD], {})
    assert found.reason == "The model refuses rows that the compiled one would answer: no such row."


def test_odd_values_are_of_the_type_that_is_asked_for() -> None:
    whole = values(SCHEMA.inputs[1], (2.5,))
    assert all(type(value) is int for value in whole)
    assert {2, 3, 0, 5} <= set(whole)
    assert None not in whole
    assert None in values(SCHEMA.inputs[0], ())
    assert values(Field("b", "boolean", nullable=True), ()) == [None, False, True]
    assert len(values(SCHEMA.inputs[0], tuple(np.arange(5000) / 7))) < 256 * 9
    none_held = list(odd_rows(SCHEMA, {}, {}))
    assert set(none_held[0]) == set(SCHEMA.names)


class Wrong(CompiledEngine):
    """A compiled model that is off for an unknown word."""

    def run(self, columns: Any) -> Any:
        unknown = np.array([word not in {"A", "B", "C", None} for word in columns["carrier"]], dtype=float)
        found = super().run(columns)
        return found + np.column_stack((unknown, -unknown)) * 1e-4


WHY_NOT = "It is not compiled: its training rows are at equal distances, and which neighbours it takes is not fixed."


@pytest.mark.parametrize("planted", [True, False])
def test_what_does_not_pass_is_served_by_scikit_learn_and_the_card_says_why(
    planted: bool, store: Store, make_spec: Any, release: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if planted:
        monkeypatch.setattr(gate, "CompiledEngine", Wrong)
    name = "ensemble.HistGradientBoostingClassifier" if planted else "neighbors.KNeighborsClassifier"
    packaged = release(make_spec(train={"trainer": {"type": "sklearn", "estimator": f"sklearn.{name}"}}))
    assert packaged.engine == "sklearn"
    bundle = open_bundle(store, packaged.bundle)
    assert set(bundle.files) == set(FILES)
    scorer = load_scorer(bundle)
    assert scorer.engine_name == "sklearn"
    assert scorer.check_golden() >= 24
    said = bundle.json("card.json")["serving"]
    assert said["engine"] == "sklearn"
    if planted:
        assert "differs by up to 1.0e-04" in said["reason"]
        assert said["parity"]["worst"] == 1e-4
    else:
        assert said["reason"] == WHY_NOT
        assert said["parity"] is None
    page = store.objects.get(packaged.card).decode()
    assert "By scikit-learn." in page
    assert said["reason"].split(":")[0] in page
