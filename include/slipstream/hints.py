"""The hint that follows a name that nobody knows: which one was meant, or which there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_LISTED = 30
_LISTED = 400
"""Characters of a list of known words; of a longer list only the nearest are named."""
_LONG = 20


def similar(value: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """At most so many of *known* whose letters are like those of *value*, nearest first."""
    return difflib.get_close_matches(value, list(known), n=most, cutoff=cutoff)


def near_word(value: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """The one of *known* that is nearest to *value*, by its parts or its letters; "" if none is near."""
    words = list(known)
    parts = sorted(value.lower().split("_"))
    same = [word for word in words if sorted(word.lower().split("_")) == parts]
    cutoff = 0.8 if len(value) > _LONG else cutoff
    near = similar(value, words, cutoff=cutoff)
    return next(iter((*same, *near, *similar(value.lower(), words, cutoff=cutoff))), "")


def nearest(value: str, known: Iterable[str]) -> str:
    """The nearest of *known*, or which there are."""
    words = list(known)
    near = near_word(value, words)
    if near:
        return f"did you mean {near!r}?"
    listed = ", ".join(words)
    if len(listed) <= _LISTED:
        return f"known: {listed}"
    return f"there are {len(words)}, such as {', '.join(similar(value, words, 3, cutoff=0.0))}"


def did_you_mean(value: str, known: Iterable[str], there_are: str = "", most: int = MOST_LISTED) -> str:
    """The nearest of *known*; where none is near, the first of them after the words *there_are*, "" without these."""
    words = list(known)
    near = similar(value, words)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"{there_are}: {', '.join(words[:most]) or 'none'}." if there_are else ""
