"""Counts words or runs of characters of a text, as scikit-learn's vectorizers do."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from slipstream.compiler.program import Floats, Text

_SPACES = re.compile(r"\s\s+")


def counter(text: Text) -> Callable[[Iterable[Any]], Floats]:
    """A function from texts to ``(texts, words)``: how often each word of the vocabulary is in each."""
    places = {word: place for place, word in enumerate(text.words)}
    parts = _parts(text)

    def run(texts: Iterable[Any]) -> Floats:
        listed = list(texts)
        counts = np.zeros((len(listed), len(places)))
        for row, one in zip(counts, listed, strict=True):
            for part in parts(_plain(text, one or "")):
                place = places.get(part)
                if place is not None:
                    row[place] += 1.0
        return np.minimum(counts, 1.0) if text.binary else counts

    return run


def _plain(text: Text, one: str) -> str:
    one = one.lower() if text.lower else one
    if text.accents is None or one.isascii():
        return one
    taken_apart = unicodedata.normalize("NFKD", one)
    if text.accents == "ascii":
        return taken_apart.encode("ascii", "ignore").decode()
    return "".join(letter for letter in taken_apart if not unicodedata.combining(letter))


def _parts(text: Text) -> Callable[[str], list[str]]:
    low, high = text.low, text.high
    if text.analyzer == "word":
        find, stopped = re.compile(text.pattern).findall, frozenset(text.stopped)

        def words(one: str) -> list[str]:
            tokens = [token for token in find(one) if token not in stopped]
            return tokens if (low, high) == (1, 1) else [" ".join(run) for run in _runs(tokens, low, high)]

        return words
    if text.analyzer == "char":
        return lambda one: _runs(_SPACES.sub(" ", one), low, high)
    return lambda one: [run for word in _SPACES.sub(" ", one).split() for run in _within(f" {word} ", low, high)]


def _runs(tokens: Any, low: int, high: int) -> list[Any]:
    lengths = range(low, min(high, len(tokens)) + 1)
    return [tokens[first : first + length] for length in lengths for first in range(len(tokens) - length + 1)]


def _within(word: str, low: int, high: int) -> list[str]:
    """The runs of characters of one word; one that is shorter than a run counts once."""
    return _runs(word, low, high) or [word]
