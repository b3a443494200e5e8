"""Compiles a candidate for serving and proves it on the held-out rows; what does not pass is served by scikit-learn."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slipstream.bundle.sklearn_engine import SklearnEngine
from slipstream.compiler.compile import compile_pipeline
from slipstream.compiler.engine import CompiledEngine
from slipstream.compiler.program import NotCompiled
from slipstream.packaging.parity.comparison import Parity, check

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

    def card_entry(self) -> dict[str, Any]:
        """What the card says of it, as JSON values."""
        measured = self.parity
        # An infinite difference (another shape, no number) is no JSON.
        worst = None if measured is None or measured.worst == float("inf") else measured.worst
        parity = measured and {"rows": measured.rows, "worst": worst, "flips": measured.flips}
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
