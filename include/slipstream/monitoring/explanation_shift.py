"""Whether the champion's answers have other reasons now: what each input contributes, then and now.

The contributions are Shapley values of the compiled model (:mod:`slipstream.compiler.shapley`), on a sample of the
window and on rows of its training, against the same background. What is compared is each input's share of the mean
absolute contributions; whether it moved by more than chance is told by permuting the rows of both sides.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipstream.bundle.scorer import Scorer, load_scorer
from slipstream.compiler.shapley import contributions, evenly
from slipstream.model_schema import Schema
from slipstream.monitoring.reference import Subject

if TYPE_CHECKING:
    import pandas as pd

ROWS = 200
"""So many rows of each side are explained ..."""
QUESTIONS = 1000
"""... with about so many answers each."""
BACKGROUND = 32
PERMUTATIONS = 999
LEAST = 50
"""With fewer rows of either side there is no verdict."""


@dataclass(frozen=True)
class Shift:
    """How the contributions moved.

    Attributes:
        moved: Share of the mean absolute contributions that moved to other inputs: half the sum of the changes of the
            shares. None where it was not measured.
        p_value: How often chance alone gives as much.
        reference: Input -> its share at training.
        window: Input -> its share in the window.
        rows: Rows explained, of training and of the window.
        note: Why it was not measured.
    """

    moved: float | None = None
    p_value: float = 1.0
    reference: dict[str, float] | None = None
    window: dict[str, float] | None = None
    rows: tuple[int, int] = (0, 0)
    note: str = ""


def shift(subject: Subject, frame: pd.DataFrame, left_out: tuple[str, ...]) -> Shift:
    """How the contributions to the answers on *frame* differ from those at training.

    Args:
        subject: The champion.
        frame: Rows of the window.
        left_out: Inputs whose values are not known.
    """
    import pandas as pd

    scorer = load_scorer(subject.bundle)
    if scorer.engine_name != "compiled":
        return Shift(note="the champion is not compiled")
    if left_out:
        return Shift(note=f"the values of {left_out[0]} are not kept")
    if len(scorer.schema.names) == 1:
        return Shift(note="the champion has one input")
    known = pd.read_parquet(io.BytesIO(subject.bundle.files["background.parquet"]))
    if min(len(known), len(frame)) < LEAST:
        return Shift(note=f"there are fewer than {LEAST} rows")
    sides = [_columns(scorer.schema, side) for side in (known, frame)]
    few = max(4, min(BACKGROUND, QUESTIONS >> len(scorer.schema.names)))
    background = evenly(sides[0], few if len(scorer.schema.names) <= 8 else BACKGROUND)
    before, now = (_explained(scorer, evenly(side, ROWS), background) for side in sides)
    return _compared(scorer.schema.names, before, now, subject.spec.seed)


def _compared(names: tuple[str, ...], before: Any, now: Any, seed: int) -> Shift:
    """The comparison of absolute contributions, each of shape ``(rows, inputs)``."""
    import numpy as np

    count, rows = len(before), np.vstack([before, now])
    random = np.random.default_rng(seed)
    sides = random.permuted(np.tile(np.arange(len(rows)) < count, (PERMUTATIONS, 1)), axis=1)
    first = np.vstack([np.arange(len(rows)) < count, sides]).astype(np.float64)
    shares = []
    for chosen in (first, 1 - first):
        means = np.einsum("pn,nk->pk", chosen, rows)
        total = means.sum(axis=1, keepdims=True)
        shares.append(np.divide(means, total, out=np.zeros_like(means), where=total > 0))
    moved = np.abs(shares[0] - shares[1]).sum(axis=1) / 2
    p_value = float((moved >= moved[0] - 1e-12).mean())
    shares_by_input = [dict(zip(names, side[0].tolist(), strict=True)) for side in shares]
    return Shift(float(moved[0]), p_value, shares_by_input[0], shares_by_input[1], (count, len(now)))


def _explained(scorer: Scorer, columns: dict[str, Any], background: dict[str, Any]) -> Any:
    """The absolute contributions to the answer of each row of *columns*: of the class that it is given."""
    import numpy as np

    names = scorer.schema.names
    answers = np.asarray(scorer.engine.run(columns))
    contributions_by_row = []
    for place in range(len(columns[names[0]])):
        row = {name: columns[name][place] for name in names}
        # Two classes move alike; of more the answered one counts.
        ask = scorer.engine.run if answers.ndim == 1 else _of_class(scorer, int(answers[place].argmax()))
        contributions_by_row.append(np.abs(contributions(ask, row, background, questions=QUESTIONS).values))
    return np.array(contributions_by_row)


def _of_class(scorer: Scorer, place: int) -> Callable[[Any], Any]:
    return lambda columns: scorer.engine.run(columns)[:, place]


def _columns(schema: Schema, frame: pd.DataFrame) -> dict[str, Any]:
    """The inputs as the engine takes them: float64 with NaN, or words and None."""
    import numpy as np

    words = {field.name for field in schema.inputs if field.type == "string"}
    columns = {}
    for name in schema.names:
        values = frame[name]
        if name in words:
            columns[name] = values.astype(object).where(values.notna(), None).to_numpy(dtype=object)
        else:
            columns[name] = values.to_numpy(dtype=np.float64)
    return columns
