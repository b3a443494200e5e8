"""Compiles a candidate for serving and proves it on the held-out rows; what does not pass is served by scikit-learn."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slipstream.scoring.compile import compile_pipeline
from slipstream.scoring.compiled import CompiledEngine
from slipstream.scoring.parity import Parity, check
from slipstream.scoring.plan import NotCompiled
from slipstream.scoring.sklearn_engine import SklearnEngine

_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class Serving:
    """How a version will be served.

    Attributes:
        engine: ``compiled`` or ``sklearn``.
        reason: Why it is not compiled, as a sentence; None if it is.
        parity: The comparison; None if nothing could be compared.
        files: What the bundle gets for it.
    """

    engine: str
    reason: str | None
    parity: Parity | None
    files: Mapping[str, bytes]

    def said(self) -> dict[str, Any]:
        """What the card says of it, as JSON values."""
        found = self.parity
        # An infinite difference (another shape, no number) is no JSON.
        worst = None if found is None or found.worst == float("inf") else found.worst
        parity = found and {"rows": found.rows, "worst": worst, "flips": found.flips}
        return {"engine": self.engine, "reason": self.reason, "parity": parity}


def serving(model: SklearnEngine, held: Iterable[Mapping[str, Sequence[Any]]]) -> Serving:
    """Compile the model of that engine and compare on the rows of *held*."""
    try:
        compiled = compile_pipeline(model.estimator, model.schema)
    except NotCompiled as error:
        return _by_sklearn(f"It is not compiled: {error}.", None)
    parity = check(CompiledEngine(compiled.files), model, model.schema, held, compiled.edges)
    if parity.reason:
        return _by_sklearn(parity.reason, parity)
    return Serving("compiled", None, parity, compiled.files)


def _by_sklearn(reason: str, parity: Parity | None) -> Serving:
    _log.info("served by scikit-learn: %s", reason)
    return Serving("sklearn", reason, parity, {})
