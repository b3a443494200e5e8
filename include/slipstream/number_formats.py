"""Numbers as people read them, in sentences, on pages and in the terminal."""

from __future__ import annotations


def figure(value: float | None, digits: int = 4, missing: str = "unknown") -> str:
    """So many significant digits, and no exponent for large numbers; the word *missing* for None."""
    if value is None:
        return missing
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def percent(share: float) -> str:
    """A share in percent, three significant digits: ``12.5 %``."""
    return f"{100 * share:.3g} %"


def counted(count: int, word: str) -> str:
    """So many of them: ``1 row``, ``1,200 rows``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
