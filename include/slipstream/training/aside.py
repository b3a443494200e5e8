"""Training rows that are set aside to say when to stop: never held-out ones, and never alike to those that are fitted.

With event time the newest share is watched, less the model's gap before it; with groups some groups are, whole; else a
random share, drawn by the seed.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from slipstream.errors import DataError
from slipstream.slots import Trainer
from slipstream.spec.model import ModelSpec
from slipstream.trainers.stopping import StoppingTrainer


def fit_candidate(spec: ModelSpec, trainer: Trainer, frame: Any, rows: Any) -> Any:
    """What *trainer* fits, with rows set aside for it where it wants some.

    Args:
        spec: The model.
        trainer: The trainer.
        frame: The training rows with event time and groups, in their order.
        rows: Inputs and coded target of the same rows.
    """
    if not isinstance(trainer, StoppingTrainer) or not trainer.share_aside:
        return trainer.fit(spec, rows, spec.seed)
    fitted, watched = rows_aside(spec, frame, trainer.share_aside)
    if not fitted.any() or not watched.any():
        message = (
            f"{spec.name}: early stopping leaves {int(fitted.sum()):,} training rows to fit and {int(watched.sum()):,} "
            "to watch; give early_stopping another share, or take it out."
        )
        raise DataError(message, code="data_too_few_rows")
    return trainer.fit_until(spec, rows, spec.seed, fitted, watched)


def rows_aside(spec: ModelSpec, frame: Any, share: float) -> tuple[Any, Any]:
    """Masks of shape ``(n,)``: the rows to fit, and those to watch.

    Args:
        spec: The model.
        frame: The training rows with event time and groups.
        share: About the share of the rows, or groups, to watch.
    """
    import numpy as np

    if spec.train.group:
        watched = _of_groups(frame[list(spec.train.group)], share, spec.seed)
        return ~watched, watched
    if spec.data.time is None:
        watched = np.random.default_rng(spec.seed).random(len(frame)) < share
        return ~watched, watched
    times = frame[spec.data.time]
    # Rows of one instant stay together.
    cutoff = times.quantile(1 - share, interpolation="lower")
    return (times <= cutoff - (spec.train.gap or timedelta())).to_numpy(), (times > cutoff).to_numpy()


def _of_groups(groups: Any, share: float, seed: int) -> Any:
    """Whether each row belongs to a group that is watched: by a digest of its values, of which a missing one is one."""
    import numpy as np

    codes = groups.groupby(list(groups.columns), dropna=False, sort=False).ngroup().to_numpy()
    _, first = np.unique(codes, return_index=True)
    chosen = np.empty(len(first), dtype=bool)
    for code, values in zip(codes[first], groups.iloc[first].itertuples(index=False), strict=True):
        plain = [None if value != value or value is None else str(value) for value in values]
        digest = hashlib.blake2b(repr((seed, plain)).encode(), digest_size=8).digest()
        chosen[code] = int.from_bytes(digest, "big") < share * 2**64
    return chosen[codes]
