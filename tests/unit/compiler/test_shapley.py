"""Shapley values: exact where they are known, additive always, alike for the same row."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.compiler.shapley import Contributions, contributions

ROWS = 32


def background(inputs: int, seed: int = 0, rows: int = ROWS) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {f"x{place}": random.normal(size=rows) for place in range(inputs)}


def row(inputs: int, seed: int = 1) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {f"x{place}": float(random.normal()) for place in range(inputs)}


def matrix(columns: Any) -> Any:
    return np.column_stack([np.asarray(values, dtype=float) for values in columns.values()])


def crooked(seed: int, inputs: int) -> Any:
    """A model with interactions of all its inputs."""
    random = np.random.default_rng(seed)
    first, second = random.normal(size=(inputs, 6)), random.normal(size=6)
    return lambda columns: np.tanh(matrix(columns) @ first) @ second


def by_hand(ask: Any, one: dict[str, Any], others: dict[str, Any]) -> list[float]:
    """Shapley values from the definition: every order, every background row."""
    names, total = list(one), dict.fromkeys(one, 0.0)
    orders = list(permutations(names))
    for order in orders:
        mixed = {name: np.array(values, copy=True) for name, values in others.items()}
        before = ask(mixed).mean()
        for name in order:
            mixed[name][:] = one[name]
            after = ask(mixed).mean()
            total[name] += after - before
            before = after
    return [total[name] / len(orders) for name in names]


def added_up(found: Contributions) -> None:
    assert sum(found.values) == pytest.approx(found.answer - found.base, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(inputs=st.integers(1, 14), seed=st.integers(0, 1000), rows=st.integers(1, 40))
def test_adds_up_to_answer_minus_base(inputs: int, seed: int, rows: int) -> None:
    ask, one, others = crooked(seed, inputs), row(inputs, seed), background(inputs, seed, rows)
    found = contributions(ask, one, others, questions=2000)
    added_up(found)
    single = {name: np.array([value]) for name, value in one.items()}
    assert found.answer == pytest.approx(ask(single)[0], abs=1e-12)
    assert len(found.values) == inputs


@pytest.mark.parametrize("inputs", [5, 12])
def test_exact_for_an_additive_model(inputs: int) -> None:
    parts = [np.sin, np.exp, np.square, np.abs]

    def ask(columns: Any) -> Any:
        return sum(parts[place % 4](values) for place, values in enumerate(columns.values()))

    one, others = row(inputs), background(inputs)
    found = contributions(ask, one, others)
    expected = [
        parts[place % 4](one[name]) - parts[place % 4](others[name]).mean() for place, name in enumerate(others)
    ]
    assert found.values == pytest.approx(expected, abs=1e-9)
    assert found.errors is None or max(found.errors) < 1e-9


def test_agrees_with_the_definition() -> None:
    ask, one, others = crooked(3, 4), row(4), background(4)
    found = contributions(ask, one, others)
    assert found.orders == 0
    assert found.values == pytest.approx(by_hand(ask, one, others), abs=1e-12)


def test_sampling_comes_as_near_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from slipstream.compiler import shapley

    ask, one, others = crooked(5, 6), row(6), background(6)
    exact = contributions(ask, one, others)
    monkeypatch.setattr(shapley, "EXACT_INPUTS", 0)
    sampled = contributions(ask, one, others)
    assert sampled.errors is not None
    assert sampled.orders > 500
    apart = np.abs(np.array(sampled.values) - np.array(exact.values))
    assert (apart < 5 * np.array(sampled.errors) + 1e-12).all()
    assert max(sampled.errors) < 0.05
    added_up(sampled)


def test_alike_for_the_same_row_and_not_for_another() -> None:
    ask, others = crooked(1, 10), background(10)
    assert contributions(ask, row(10), others) == contributions(ask, row(10), others)
    assert contributions(ask, row(10), others) != contributions(ask, row(10, seed=2), others)


def test_words_and_nulls() -> None:
    others = {"carrier": np.array(["A", None, "B", "A"], dtype=object), "x": np.array([1.0, np.nan, 3.0, 4.0])}

    def ask(columns: Any) -> Any:
        words = np.array([{"A": 1.0, "B": 2.0, None: 5.0}[word] for word in columns["carrier"]])
        return words * np.nan_to_num(columns["x"], nan=10.0)

    found = contributions(ask, {"carrier": None, "x": float("nan")}, others)
    assert (found.answer, found.base) == (50.0, (1 + 50 + 6 + 4) / 4)
    added_up(found)


def test_many_inputs_stay_bounded() -> None:
    asked = []

    def ask(columns: Any) -> Any:
        asked.append(len(columns["x0"]))
        return matrix(columns).sum(axis=1)

    added_up(contributions(ask, row(300), background(300)))
    assert sum(asked) < 10_000
    assert max(asked) <= 16_384
