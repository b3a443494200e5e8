"""Long tables of cases: a few of them at each ``make test``, all of them where the slow tests run too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def one_of(every: int, cases: Iterable[Any]) -> list[Any]:
    """The *cases* of ``pytest.mark.parametrize``: the first and each *every*-th after it, the others marked slow.

    A case is a value, a tuple of values, or what ``pytest.param`` gave.
    """
    return [case if number % every == 0 else _slow(case) for number, case in enumerate(cases)]


def _slow(case: Any) -> Any:
    if hasattr(case, "marks"):
        return pytest.param(*case.values, id=case.id, marks=[*case.marks, pytest.mark.slow])
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
