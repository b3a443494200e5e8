"""How often quiet windows alarm, and which planted shifts are found.

``python bench/scripts/alarms.py [WINDOWS] [SEED]``. Every window is judged as monitoring judges it: 17 independent
columns, profiled by one scan in the bins of a stored reference of 50,000 rows, all tests corrected together, threshold
0.2, budget 0.01. There is a new reference for every ten windows, because windows with the same one are not independent.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import duckdb
from drift_data import COLUMNS, KINDS, seeded, select

from slipstream.profiling.column_drift import Methods, drifts
from slipstream.profiling.profile import Profile, profile

REFERENCE = 50_000
ROWS = (500, 5_000, 50_000)
BUDGET, THRESHOLD, SHARE = 0.01, 0.2, 0.3
METHODS = (("psi", "psi"), ("ks", "chi_square"), ("wasserstein", "jensen_shannon"), ("jensen_shannon", "psi"))
SHARED = 10
"""So many windows have the same reference."""
PLANTED = {
    **{f"mean + {size} sd": ("x0", f"{size} + {COLUMNS['x0']}") for size in (0.05, 0.1, 0.2, 0.5, 1, 2)},
    **{
        f"new word {share}%": ("s1", f"CASE WHEN random() < {share / 100} THEN 'new' ELSE {COLUMNS['s1']} END")
        for share in (1, 5, 10, 20)
    },
    **{
        f"missing + {share}%": ("x3", f"CASE WHEN random() < {share / 100} THEN NULL ELSE {COLUMNS['x3']} END")
        for share in (1, 5, 10)
    },
}
"""What is planted -> the column and the expression that makes it."""


@dataclass(frozen=True)
class Drawn:
    """A reference and a window without any change, and the window again with one column replaced, for each plant."""

    reference: Profile
    quiet: Profile
    planted: dict[str, Profile]


def draw(connection: duckdb.DuckDBPyConnection, rows: int, windows: int, planted: Sequence[str]) -> Iterator[Drawn]:
    """So many windows of *rows* rows."""
    for number in range(windows):
        if number % SHARED == 0:
            reference = profile(_table(connection, select(REFERENCE)), KINDS, [0.0])
        quiet = reference.on(_table(connection, select(rows)))
        changed = {}
        for name in planted:
            column, made = PLANTED[name]
            one = _table(connection, f"SELECT {made} AS {column} FROM range({rows}) AS t(i)")
            changed[name] = Profile({**quiet.columns, **reference.on(one).columns})
        yield Drawn(reference, quiet, changed)


def _table(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation:
    """The rows drawn once, however often they are read."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE drawn AS {query}")
    return connection.table("drawn")


def judged(reference: Profile, window: Profile, pair: tuple[str, str]) -> dict[str, tuple[bool, bool, bool]]:
    """Whether each column is significant, has drifted by the threshold as well, and so far as to count alone."""
    found = drifts(reference, window, Methods(*pair, 0.0, BUDGET))  # type: ignore[arg-type]
    far = {one.column: replace(one, threshold=THRESHOLD).far for one in found}
    return {
        one.column: (one.drifted, *(one.drifted and one.statistic > least for least in (THRESHOLD, far[one.column])))
        for one in found
    }


def quiet_alarms(drawn: Sequence[Drawn], pair: tuple[str, str]) -> tuple[float, float, float]:
    """Shares of quiet windows with a significant column, with a drifted one, and that count as drifted."""
    found = [0, 0, 0]
    for one in drawn:
        verdicts = judged(one.reference, one.quiet, pair).values()
        significant, drifted, far = (sum(verdict[at] for verdict in verdicts) for at in (0, 1, 2))
        found[0] += significant > 0
        found[1] += drifted > 0
        found[2] += far > 0 or drifted >= SHARE * len(COLUMNS)
    return found[0] / len(drawn), found[1] / len(drawn), found[2] / len(drawn)


def detected(drawn: Sequence[Drawn], name: str, pair: tuple[str, str]) -> tuple[float, ...]:
    """Shares of the windows with that plant in which the column is significant, has drifted, and counts alone."""
    verdicts = [judged(one.reference, one.planted[name], pair)[PLANTED[name][0]] for one in drawn]
    return tuple(sum(verdict[at] for verdict in verdicts) / len(drawn) for at in (0, 1, 2))


def main(windows: int, seed: float) -> int:
    """Print both tables; the exit code is 1 if quiet windows alarm more often than chance lets a budget be exceeded."""
    found: dict[int, list[Drawn]] = {}
    with duckdb.connect() as connection:
        seeded(connection, seed)
        for rows in ROWS:
            planting = list(draw(connection, rows, max(windows // 5, 1), list(PLANTED)))
            found[rows] = planting + list(draw(connection, rows, windows - len(planting), []))
    over = _print_quiet(found, windows)
    _print_planted(found, windows)
    return int(over)


def _print_planted(found: dict[int, list[Drawn]], windows: int) -> None:
    told = f"significant / and above {THRESHOLD} / alone"
    print(f"\nPlanted in one of 17 columns, share found of {max(windows // 5, 1)}: {told}")
    print(f"{'rows':32}" + "".join(f"{rows:22,}" for rows in ROWS))
    for name, (column, _) in PLANTED.items():
        for method in dict.fromkeys(pair[not KINDS[column]] for pair in METHODS):
            pair = next(pair for pair in METHODS if pair[not KINDS[column]] == method)
            shares = [detected([one for one in found[rows] if one.planted], name, pair) for rows in ROWS]
            print(f"{name:16} {method:15}" + "".join(f"{a:9.0%} /{b:5.0%} /{c:4.0%}" for a, b, c in shares))


def _print_quiet(found: dict[int, list[Drawn]], windows: int) -> bool:
    from scipy.stats import binom

    allowed = int(binom.ppf(0.999, windows, BUDGET))
    print(f"Quiet windows, {windows} a setting, budget {BUDGET:.0%} (chance allows {allowed} of {windows})")
    print(f"{'rows':>7} {'methods':28} {'any significant':>16} {'any drifted':>12} {'window drifted':>15}")
    over = False
    for rows, drawn in found.items():
        for pair in METHODS:
            shares = quiet_alarms(drawn, pair)
            over |= shares[0] * windows > allowed
            print(f"{rows:7} {' + '.join(pair):28} {shares[0]:16.1%} {shares[1]:12.1%} {shares[2]:15.1%}")
    return over


if __name__ == "__main__":
    sys.exit(main(int((sys.argv[1:] or ["100"])[0]), float((sys.argv[2:] or ["0.7"])[0])))
