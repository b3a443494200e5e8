"""Numbers in sentences: significant digits without exponents, shares in percent, counts with their noun."""

from __future__ import annotations

import pytest

from slipstream.number_formats import counted, figure, percent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (-3.0, "-3"),
        (999.4, "999.4"),
        (1234.5, "1,234"),
        (-1_500_000.2, "-1,500,000"),
        (None, "unknown"),
    ],
)
def test_figures(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_shares_and_counts() -> None:
    assert [percent(0.125), percent(1), percent(0.00012345)] == ["12.5 %", "100 %", "0.0123 %"]
    assert [counted(0, "row"), counted(1, "row"), counted(1200, "row")] == ["0 rows", "1 row", "1,200 rows"]
    assert figure(None, missing="not defined") == "not defined"
    assert figure(15.6, 2) == "16"
