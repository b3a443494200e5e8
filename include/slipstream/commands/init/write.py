"""The model file as a text that one can read and change: what was chosen, why, and what is doubtful."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from slipstream.commands.flow import outwards
from slipstream.commands.init.choose import Choice, undecided
from slipstream.commands.init.look import ColumnLook, Look
from slipstream.data.notes import schema_of

FEW_ROWS = 300
SET = 12
_PLAIN = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "drop"}


def model_file(name: str, source: str, look: Look, choice: Choice) -> str:
    """The text of model.yaml; *source* is what ``data.source`` says in it."""
    return "\n".join(_lines(name, source, look, choice)) + "\n"


def _lines(name: str, source: str, look: Look, choice: Choice) -> Iterator[str]:
    yield f"# Made from {look.rows:,} rows. Lines that begin with '# ?' are doubtful: read them first."
    yield f"name: {name}"
    yield f"task: {choice.task}"
    doubt = undecided(look.columns[choice.target])
    if choice.task == "multiclass" and not choice.sure and not doubt:
        yield "# ? task: regression   # the target is a few whole numbers: classes, or an amount?"
    yield f"target: {plain_yaml(choice.target)}"
    if doubt:
        yield f"# ? {plain_yaml(choice.target)}: {_one_line(doubt)} The task follows from that."
    yield from _positive(look, choice)
    yield _inputs(look, choice)
    yield from _left_out(look, choice)
    yield ""
    yield "data:"
    yield f"  source: {source}"
    yield from _schema(look)
    yield from _key_and_time(look, choice)
    yield from _contract(look, choice)
    yield from _training(look, choice)


def _inputs(look: Look, choice: Choice) -> str:
    doubtful = [name for name in look.columns if choice.left_out.get(name, "").startswith("?")]
    listed = f"inputs: [{', '.join(map(plain_yaml, choice.inputs or doubtful))}]"
    return listed if choice.inputs else f"# ? {listed}   # keep those that are known before the answer is asked for"


def _left_out(look: Look, choice: Choice) -> Iterator[str]:
    if choice.left_out or look.left_out:
        yield "# Left out:"
    for name, why in choice.left_out.items():
        mark = "? " if why.startswith("?") else "  "
        yield f"# {mark}{plain_yaml(name)}: {_one_line(why.removeprefix('? '))}"
    for why in look.left_out:
        yield f"#   {_one_line(why)}"


def _key_and_time(look: Look, choice: Choice) -> Iterator[str]:
    if choice.key:
        yield f"  key: [{', '.join(map(plain_yaml, choice.key))}]"
    else:
        yield "  # ? key: [...]   # what tells one row from another; without it a row that comes again is added again"
    if choice.time:
        yield f"  time: {plain_yaml(choice.time)}"
    for column in look.columns.values():
        if column.type in {"DATE", "TIMESTAMP"} and column.name not in {choice.time, choice.target}:
            name = plain_yaml(column.name)
            yield f"  # ? time: {name}   # if it says when the row happened, judge on the newest rows"


def _positive(look: Look, choice: Choice) -> Iterator[str]:
    if choice.task != "binary" or choice.positive is None:
        return
    labels = dict(look.columns[choice.target].words)
    other = next(label for label in labels if label != choice.positive)
    share = labels[choice.positive] / sum(labels.values())
    yield f"positive: {_value(choice.positive)}   # in {share:.1%} of the rows"
    if not choice.sure:
        yield f"# ? positive: {_value(other)}   # which of the two do probabilities, precision and recall speak of?"


def _schema(look: Look) -> Iterator[str]:
    lines = [line for column in look.columns.values() for line in _of_column(column)]
    if not lines:
        return
    # A mapping needs an entry that is none of the comments.
    yield "  schema:" if any(not line.lstrip().startswith("#") for line in lines) else "  # schema:"
    yield from lines


def _of_column(column: ColumnLook) -> Iterator[str]:
    name = plain_yaml(column.name)
    for note in column.notes:
        if note.kind == "recognised":
            yield f"    {name}: {{{schema_of(column.reading)}}}   # {_one_line(note.text)}"
        elif note.kind in {"leading_zeros", "too_long"}:
            yield f"    {name}: text   # {_one_line(note.text)}"
        elif note.kind == "missing_words":
            yield f"    # ? {name}: {_one_line(note.text)}"


def _contract(look: Look, choice: Choice) -> Iterator[str]:
    rules = [rule for name in (*choice.inputs, choice.target) for rule in _rules(look, look.columns[name], choice)]
    yield ""
    yield "# What the rows of the file keep to, with some room; rows that break it are set aside."
    yield "contract:"
    yield "  on_failure: quarantine"
    if rules:
        yield "  expectations:"
        yield from rules


def _rules(look: Look, column: ColumnLook, choice: Choice) -> Iterator[str]:
    name = plain_yaml(column.name)
    if column.known == look.rows and column.name != choice.target:
        yield f"    - {{type: expect_column_values_to_not_be_null, column: {name}}}"
    if column.type in {"BIGINT", "DOUBLE"} and column.name != choice.target and math.isfinite(column.low + column.high):
        room = (column.high - column.low) or 1
        low = 0 if 0 <= column.low <= room else outwards(column.low - room, math.floor)
        bounds = f"min_value: {low}, max_value: {outwards(column.high + room, math.ceil)}"
        yield f"    - {{type: expect_column_values_to_be_between, column: {name}, {bounds}}}"
    if column.type == "VARCHAR" and column.words and len(column.words) <= SET and min(n for _, n in column.words) > 4:
        words = ", ".join(sorted(_value(word) for word, _ in column.words))
        yield f"    - {{type: expect_column_values_to_be_in_set, column: {name}, value_set: [{words}]}}"


def _training(look: Look, choice: Choice) -> Iterator[str]:
    few = look.rows < FEW_ROWS
    kind = "Regressor" if choice.task == "regression" else "Classifier"
    plain = "Ridge" if choice.task == "regression" else "LogisticRegression"
    estimator = f"sklearn.linear_model.{plain}" if few else f"sklearn.ensemble.HistGradientBoosting{kind}"
    metrics = {
        "binary": "{metric: roc_auc, metrics: [log_loss, average_precision]}",
        "multiclass": "{metric: log_loss, metrics: [accuracy]}",
        "regression": "{metric: rmse, metrics: [mae, r2]}",
    }
    yield ""
    yield "train:"
    yield f"  trainer: {{type: sklearn, estimator: {estimator}}}"
    if look.rows < 200:
        yield f"  min_rows: {max(10, look.rows // 2)}   # the file has {look.rows:,} rows"
    for column in choice.groups:
        yield f"  # ? group: {plain_yaml(column)}   # keep all rows of one {_one_line(column)} on one side of the split"
    yield f"evaluate: {metrics[choice.task]}"
    yield "gates: [{type: champion, margin: 0.01}]   # a challenger may be worse by no more than this"


def plain_yaml(word: str) -> str:
    """A name as YAML writes it."""
    return word if _PLAIN.match(word) and word.lower() not in _RESERVED else json.dumps(word, ensure_ascii=False)


def _value(value: Any) -> str:
    """A label as YAML writes it, of the type that it has."""
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else plain_yaml(value)


def _one_line(text: str) -> str:
    return " ".join(text.split())
