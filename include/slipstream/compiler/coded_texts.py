"""Texts of many rows of which few differ: each different one is held, looked up and checked once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class CodedTexts(Sequence[str | None]):
    """A column of texts as the different ones, and which of them each row has; reads as a list of texts does.

    Attributes:
        words: The different texts; None for null.
        codes: For each row a place in *words*: an integer array of shape ``(n,)``.
    """

    def __init__(self, words: Sequence[str | None], codes: NDArray[Any]) -> None:
        self.words = words
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[str | None]:
        return map(self.words.__getitem__, self.codes.tolist())

    def __getitem__(self, place: Any) -> Any:
        """The text of one row or, for a slice or an array of rows, those rows."""
        codes = self.codes[place]
        return CodedTexts(self.words, codes) if getattr(codes, "ndim", 0) else self.words[int(codes)]

    def rows_where(self, wanted: Callable[[str | None], bool]) -> NDArray[np.intp]:
        """The rows whose text is one of those for which *wanted* is true."""
        chosen = np.fromiter(map(wanted, self.words), dtype=bool, count=len(self.words))
        return np.flatnonzero(chosen[self.codes])


def by_word(values: Any, numbers: Callable[[Any], NDArray[np.float64]]) -> NDArray[np.float64]:
    """What *numbers* makes of *values*, a row each; of :class:`CodedTexts` it is asked once for each different text."""
    return numbers(values.words)[values.codes] if isinstance(values, CodedTexts) else numbers(values)
