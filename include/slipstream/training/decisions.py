"""Whether a fitted classifier decides as its answers will be decided: by the most probable label."""

from __future__ import annotations

from typing import Any

ROWS = 2000


def decides_otherwise(estimator: Any, inputs: Any) -> str:
    """A sentence if ``predict`` names other labels than ``predict_proba`` makes the most probable; "" if it does not.

    A classifier with a threshold of its own is an example: what serves it is asked for probabilities, of which a binary
    answer is positive above one half.

    Args:
        estimator: A fitted classifier.
        inputs: Rows of its inputs, a frame or an array; at most :data:`ROWS` rows of it are looked at, evenly spaced.
    """
    import numpy as np

    rows = inputs[:: -(-len(inputs) // ROWS)]
    probable = np.asarray(estimator.classes_)[np.asarray(estimator.predict_proba(rows)).argmax(axis=1)]
    share = float(np.mean(np.asarray(estimator.predict(rows)).astype(probable.dtype) != probable))
    if not share:
        return ""
    return (
        f"Its own predict names another label than the most probable one for {share:.1%} of {len(rows):,} training "
        "rows, as a threshold of its own does; answers here name the most probable one, so decide by the probability."
    )
