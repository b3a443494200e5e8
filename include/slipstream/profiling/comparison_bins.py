"""Cells: the few groups of rows in which two profiles of a column are compared, or drawn.

A number's cells are cut at the deciles of the reference, with what lies beyond its range apart. Words are drawn as
the reference's 30 most frequent ones, the rarer ones together and the never seen ones together. Missing values are a
cell of their own.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from slipstream.profiling.profile import ColumnProfile

Floats = NDArray[np.float64]
TOP_WORDS = 30
"""So many words are drawn by name."""
_ALONE = 100
"""So many words are compared one by one."""
_DECILES = tuple(step / 10 for step in range(1, 10))
_EXPECTED = 10
"""With fewer rows in a cell chi-square is a bad guide to rare chances. Cochran, Biometrics 10 (1954), 417-451, asks for
five; with them chance exceeds the level of one in a thousand up to five times too often (simulated)."""


def cells(reference: ColumnProfile, window: ColumnProfile) -> tuple[list[str], Floats, Floats]:
    """Names of the cells, and the rows of the reference and of the window in each; cells empty in both are left out."""
    all_cells = _number_cells(reference, window) if reference.kind == "number" else _word_cells(reference, window)
    all_cells.append(("missing", reference.missing, window.missing))
    filled = [cell for cell in all_cells if cell[1] or cell[2]]
    return [c[0] for c in filled], np.array([c[1] for c in filled], float), np.array([c[2] for c in filled], float)


def compared(reference: ColumnProfile, window: ColumnProfile) -> tuple[Floats, Floats]:
    """The rows of both sides in the cells that a distance is taken over.

    Chance must not know which side is which, or rare words would look new, and frequent ones go out of fashion, in any
    window. So words are cells by how often both sides together have them: the 100 most frequent, and the others by the
    power of two that they reach. Neighbours are put together until each cell is expected to hold ten rows on either
    side.
    """
    if reference.kind == "number":
        _, before, now = cells(reference, window)
        return _filled(before, now)
    return _filled(*_word_groups(reference, window))


def _filled(before: Floats, now: Floats) -> tuple[Floats, Floats]:
    total = before + now
    smaller = min(before.sum(), now.sum()) / total.sum()
    starts, held = [0], 0.0
    for at, expected in enumerate(total * smaller):
        if held >= _EXPECTED:
            starts.append(at)
            held = 0.0
        held += expected
    if held < _EXPECTED and len(starts) > 1:
        starts.pop()
    return np.add.reduceat(before, starts), np.add.reduceat(now, starts)


def _word_groups(reference: ColumnProfile, window: ColumnProfile) -> tuple[Floats, Floats]:
    first, second = dict(reference.words), dict(window.words)
    # By name first, so that which of equally frequent words is among the top depends on neither side.
    words = sorted(first.keys() | second.keys())
    counts = np.array([[side.get(word, 0) for word in words] for side in (first, second)], float).T
    counts = counts[np.argsort(-counts.sum(axis=1), kind="stable")]
    held = np.vstack([counts, [[reference.other, window.other]]])
    rare = max(_hidden(reference, window), 1.0)
    top = min(len(words), _ALONE)
    total = np.append(counts.sum(axis=1), 0.0)[top:]
    power = np.floor(np.log2(np.maximum(total, rare)))
    starts = [*range(top), *(top + np.flatnonzero(np.diff(power, prepend=np.inf)))]
    held = np.add.reduceat(held, starts, axis=0)
    before, now = np.append(held, [[reference.missing, window.missing]], axis=0).T
    return before, now


def _hidden(reference: ColumnProfile, window: ColumnProfile) -> float:
    """How often both sides together may have a word that one of them does not name, with three deviations for chance.

    Nobody knows its count on that side, so that words up to there can only be compared all together.
    """
    least = [(side.words[-1][1], side.rows) for side in (reference, window) if side.other]
    return sum((count + 3 * math.sqrt(count) + 3) / rows for count, rows in least) * (reference.rows + window.rows)


def unknown(reference: ColumnProfile, window: ColumnProfile) -> float:
    """Share of the window's rows with words that the reference never saw; 0 for numbers.

    Also 0 where the reference had more words than a profile keeps by name, because then nothing is known to be new.
    """
    if reference.kind == "number" or reference.other or not window.rows:
        return 0.0
    return _unseen(reference, window) / window.rows


def _number_cells(reference: ColumnProfile, window: ColumnProfile) -> list[tuple[str, int, int]]:
    if not reference.edges:
        return [("any value", reference.known, window.known)]
    passed = np.cumsum(reference.counts)[:-1]
    deciles = {int(np.searchsorted(passed, share * reference.known)) for share in _DECILES}
    cuts = sorted({0, len(reference.edges) - 1, *(place for place in deciles if place < len(reference.edges))})
    cells_by_name, begin = [], 0
    for number, cut in enumerate(cuts):
        name = f"< {reference.low:.4g}" if not number else f"≤ {reference.edges[cut]:.4g}"
        cells_by_name.append((name, sum(reference.counts[begin : cut + 1]), sum(window.counts[begin : cut + 1])))
        begin = cut + 1
    cells_by_name.append((f"> {reference.edges[-1]:.4g}", sum(reference.counts[begin:]), sum(window.counts[begin:])))
    return cells_by_name


def _word_cells(reference: ColumnProfile, window: ColumnProfile) -> list[tuple[str, int, int]]:
    now = dict(window.words)
    top, rare = reference.words[:TOP_WORDS], reference.words[TOP_WORDS:]
    cells_by_name = [(word, count, now.get(word, 0)) for word, count in top]
    rarer = sum(now.get(word, 0) for word, _ in rare)
    unseen = _unseen(reference, window)
    # With words that the reference no longer tells apart, one that looks new may be one of them.
    more, new = (rarer + unseen, 0) if reference.other else (rarer, unseen)
    cells_by_name.append(("rarer words", sum(count for _, count in rare) + reference.other, more))
    cells_by_name.append(("never seen", 0, new))
    return cells_by_name


def _unseen(reference: ColumnProfile, window: ColumnProfile) -> int:
    """Rows of the window whose words the reference does not name."""
    known = {word for word, _ in reference.words}
    return sum(count for word, count in window.words if word not in known) + window.other
