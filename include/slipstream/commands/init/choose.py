"""What a model of that file could be: its task, its inputs and why not the others, key, time and group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slipstream.commands.init.look import ColumnLook, Look
from slipstream.errors import SpecError, shown
from slipstream.evaluation.leaks import LeakSide, suspected_leaks
from slipstream.hints import did_you_mean

FEW_LABELS = 10
MOST_LABELS = 50
NAMED = 10
_PLAIN = ({"false", "true"}, {"0", "1"}, {"no", "yes"})
_ID = re.compile(
    r"(^|[^a-z])(id|ids|uuid|key|nr|no|num|number|index|rownames?|kennung)$|Id$|ID$|^Unnamed: [0-9]+$", re.IGNORECASE
)
_GROUP = re.compile("customer|client|person|patient|user|account|member|firm|company|kunde|household", re.IGNORECASE)
_TIME = re.compile(r"date|time|day|when|stamp|created|month|period|datum|zeit|(^|_)at$", re.IGNORECASE)
_BIRTH = re.compile(r"birth|dob|geburt", re.IGNORECASE)


@dataclass(frozen=True)
class Choice:
    """What the model file will say.

    Attributes:
        task: ``binary``, ``multiclass`` or ``regression``.
        target: The target.
        positive: The positive label, where it is not plain which one is.
        sure: Whether task and positive label are beyond doubt.
        inputs: The inputs; none where every column is doubtful.
        left_out: Column -> why it is no input; those that are doubtful begin with "?".
        key: The key; empty if none is seen.
        time: The event time; "" for none.
        groups: Columns that may group rows.
    """

    task: str
    target: str
    positive: Any
    sure: bool
    inputs: tuple[str, ...]
    left_out: dict[str, str]
    key: tuple[str, ...]
    time: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class InitOptions:
    """What the command was told: each empty where init is to choose."""

    task: str = ""
    positive: str = ""
    key: tuple[str, ...] = ()
    time: str = ""


def choose(look: Look, target: str, options: InitOptions) -> Choice:
    """Choose for that *target*.

    Raises:
        SpecError: ``init_column_unknown``, ``init_target_unusable``, ``positive_unknown``.
    """
    for name in (target, *options.key, *filter(None, [options.time])):
        if name not in look.columns:
            hint = did_you_mean(name, look.columns, "it has")
            raise SpecError(f"the file has no column {shown(name)}; {hint}", code="init_column_unknown")
    task, sure = _task(look.columns[target], options)
    positive, plain = _positive(look.columns[target], options) if task == "binary" else (None, True)
    key = options.key or _key(look, target)
    time = options.time or _time(look, target)
    groups = tuple(name for name, one in look.columns.items() if name not in {target, *key} and _groups(look, one))
    left_out: dict[str, str] = {}
    for name, column in look.columns.items():
        why = _why_not(look, column, (key, time, groups)) if name != target else ""
        if why:
            left_out[name] = why
    inputs = [name for name in look.columns if name != target and name not in left_out]
    for leak in [] if undecided(look.columns[target]) else _leaks(look, target, task, inputs):
        left_out[leak.input] = f"? alone it tells the target ({leak.metric} {leak.value:.3f}): known only afterwards?"
    inputs = [name for name in inputs if name not in left_out]
    if not inputs and not any(why.startswith("?") for why in left_out.values()):
        reasons = "; ".join(f"{name!r}: {why}" for name, why in list(left_out.items())[:NAMED]) or "it has no other"
        message = f"no column of the file can be an input for {target!r}: {reasons}."
        raise SpecError(message, code="init_target_unusable")
    return Choice(task, target, positive, sure and plain, tuple(inputs), left_out, key, time, groups)


def _task(column: ColumnLook, options: InitOptions) -> tuple[str, bool]:
    """The task, and whether it is beyond doubt."""
    task, sure = (options.task, True) if options.task else _guessed(column)
    why = _no_target(column, task, options)
    if why:
        raise SpecError(f"target {column.name!r} {why}", code="init_target_unusable")
    return task, sure


def _guessed(column: ColumnLook) -> tuple[str, bool]:
    if column.distinct == 2:
        return "binary", not column.doubtful
    if column.type == "VARCHAR":
        numbers = column.doubtful and column.distinct > MOST_LABELS
        return "regression" if numbers else "multiclass", not column.doubtful
    few = column.type == "BIGINT" and column.distinct <= FEW_LABELS
    return ("multiclass", False) if few else ("regression", True)


def _no_target(column: ColumnLook, task: str, options: InitOptions) -> str:
    """Why the column can be no target of that task; "" if it can, or if data.schema can settle it."""
    if column.distinct < 2:
        return f"has {column.distinct} different values; a model needs two."
    if column.type in {"DATE", "TIMESTAMP"}:
        return "is a date; a model predicts numbers or classes."
    if undecided(column):
        return ""
    if column.doubtful and not options.task:
        return column.doubtful[0].text
    if task == "regression" and column.type not in {"BIGINT", "DOUBLE"}:
        return f"holds {shown(column.low)}, and a regression predicts numbers; leave --task out, or take multiclass."
    if task == "binary" and column.distinct > 2:
        return f"has {column.distinct:,} different values, and a binary task two; leave --task out, or take multiclass."
    if task != "regression" and column.type == "DOUBLE" and any(word % 1 for word, _ in column.words or [(0.5, 1)]):
        return "holds decimals, and classes are words, whole numbers or true and false; take --task regression."
    many = column.type == "VARCHAR" and column.distinct > MOST_LABELS and not options.task
    return f"holds {column.distinct:,} different words, too many to be classes." if many else ""


def undecided(column: ColumnLook) -> str:
    """What data.schema has to say of the column before anything can be told of its values; "" if nothing."""
    return next((note.text for note in column.doubtful if note.kind != "mostly_distinct"), "")


def _positive(column: ColumnLook, options: InitOptions) -> tuple[Any, bool]:
    """The positive label where it has to be said, and whether it is beyond doubt; of two words the rarer one."""
    labels = [word for word, _ in column.words]
    if options.positive:
        positive = next((label for label in labels if str(label).lower() == options.positive.lower()), None)
        if positive is None:
            message = f"--positive {shown(options.positive)}: {column.name!r} holds {' and '.join(map(str, labels))}."
            raise SpecError(message, code="positive_unknown")
        return positive, True
    if {str(label).lower() for label in labels} in _PLAIN:
        return None, True
    return labels[-1], False


def _key(look: Look, target: str) -> tuple[str, ...]:
    """A column that tells every row, and is called or counted like one."""
    for name, column in look.columns.items():
        whole = column.known == column.distinct == look.rows
        if name == target or not whole or column.type not in {"BIGINT", "VARCHAR"}:
            continue
        counted = column.type == "BIGINT" and column.high - column.low + 1 == look.rows
        if _ID.search(name) or (counted and next(iter(look.columns)) == name):
            return (name,)
    return ()


def _time(look: Look, target: str) -> str:
    """The one date that is always there and called like one."""
    dates = [
        name
        for name, column in look.columns.items()
        if name != target and column.type in {"DATE", "TIMESTAMP"} and column.known == look.rows
    ]
    likely = [name for name in dates if _TIME.search(name) and not _BIRTH.search(name)]
    return likely[0] if len(likely) == 1 and look.columns[likely[0]].distinct > 5 else ""


def _groups(look: Look, column: ColumnLook) -> bool:
    """Whether rows of one value belong together, as far as its name and its repetition tell."""
    repeats = 20 < column.distinct < 0.9 * look.rows and column.known == look.rows
    suggestive = _ID.search(column.name) or _GROUP.search(column.name)
    return repeats and column.type in {"BIGINT", "VARCHAR"} and bool(suggestive)


def _why_not(look: Look, column: ColumnLook, roles: tuple[Sequence[str], str, Sequence[str]]) -> str:
    """Why a column is no input; "" if it is one."""
    key, time, groups = roles
    if column.name in key:
        return "it tells each row from the others (data.key)"
    if column.name == time:
        return "it is the event time (data.time)"
    if not column.known:
        return "it holds no value"
    if column.distinct == 1:
        missing = 1 - column.known / look.rows
        return (
            f"? it is always {shown(column.low)}, or missing ({missing:.0%})"
            if missing
            else f"it is always {shown(column.low)}"
        )
    if column.name in groups:
        return "? it tells whom a row is about, not what is the case"
    if column.doubtful:
        return f"? it {column.doubtful[0].text}"
    if column.known < 0.02 * look.rows:
        return f"? it has a value in {column.known:,} of {look.rows:,} rows"
    return ""


def _leaks(look: Look, target: str, task: str, inputs: Sequence[str]) -> Any:
    import numpy as np

    frame = look.sample[look.sample[target].notna()]
    truth = frame[target]
    if task != "regression":
        classes = {label: place for place, label in enumerate(sorted(truth.unique().tolist(), key=str))}
        truth = truth.map(classes)
    values = truth.to_numpy(dtype=np.float64 if task == "regression" else np.int64)
    plain = frame[list(inputs)].copy()
    for name in inputs:
        words = look.columns[name].type in {"VARCHAR", "DATE", "TIMESTAMP"}
        column = plain[name]
        plain[name] = column.astype(str).where(column.notna(), None) if words else column.astype(np.float64)
    order = np.random.default_rng(0).permutation(len(plain))
    half = len(order) // 2
    sides = [LeakSide(plain.iloc[part].reset_index(drop=True), values[part]) for part in (order[:half], order[half:])]
    return suspected_leaks(task, inputs, *sides)
