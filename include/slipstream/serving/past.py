"""Past predictions: what was asked and answered, and the version that did."""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slipstream.errors import RequestError
from slipstream.serving.capture import TABLE, Capture
from slipstream.serving.loading import Loader, Wanted
from slipstream.serving.routes import Routes
from slipstream.serving.served import SHADOW, Served
from slipstream.serving.wishes import Version

_log = logging.getLogger("slipstream")
LOADED = 2
"""So many versions that serve no more stay loaded."""


@dataclass(frozen=True)
class Prediction:
    """One captured row.

    Attributes:
        version: The version that answered.
        inputs: Input -> value as it was kept: numbers as doubles; None if none were.
        redacted: Inputs that were not kept.
        answer: What was answered: the number, the probability of the positive label, or all probabilities.
    """

    id: str
    version: int
    inputs: Mapping[str, Any] | None
    redacted: tuple[str, ...]
    answer: Any


class Past:
    """Finds predictions in the captured rows.

    Args:
        capture: Writes the rows.
        loader: Loads versions that serve no more.
    """

    def __init__(self, capture: Capture, loader: Loader) -> None:
        self.capture = capture
        self.loader = loader
        self._versions: OrderedDict[tuple[str, int], Served] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, model: str, ids: Sequence[str]) -> list[Prediction]:
        """The predictions of these ids, in their order. Rows that this process has yet to write are written first.

        Raises:
            RequestError: ``prediction_not_found``, or ``prediction_damaged``: it may be in a file that is not what was
                written.
        """
        import pyarrow.parquet as pq

        if self.capture.waiting:
            self.capture.flush()
        found = {}
        wanted = sorted(set(ids))
        tables = self.capture.store.tables
        files, damaged = tables.holding(model, TABLE, "prediction_id", wanted)
        for file in tables.local_files(model, TABLE, files):
            for row in pq.read_table(file, filters=[("prediction_id", "in", wanted)]).to_pylist():
                if row.get("route") != SHADOW:
                    found[row["prediction_id"]] = _prediction(row)
        for one in ids:
            if one not in found and damaged:
                _log.error("%s: damaged files of predictions: %s", model, ", ".join(damaged))
                message = f"the rows of {model!r} that may hold {one} are damaged; `slipstream verify` names them"
                raise RequestError(message, code="prediction_damaged", status=503, field=one)
            if one not in found:
                message = f"no captured prediction of {model!r} has the id {one}; new ones appear within seconds"
                raise RequestError(message, code="prediction_not_found", status=404, field=one)
        return [found[one] for one in ids]

    def version(self, routes: Routes, number: int) -> Served:
        """The version of that number: as it serves, or loaded for this.

        Raises:
            RequestError: ``version_not_found``.
            BundleError, ChecksumMismatch, NotFound: its bundle cannot be trusted or is gone.
        """
        loaded = routes.loaded(str(number))
        if loaded is not None:
            return loaded
        model = routes.champion.model
        with self._lock:
            made = self._versions.pop((model, number), None) or self._load(model, number)
            self._versions[model, number] = made
            while len(self._versions) > LOADED:
                self._versions.popitem(last=False)
        return made

    def _load(self, model: str, number: int) -> Served:
        event = self.loader.store.ledger.state().model(model).versions.get(number)
        if event is None:
            raise RequestError(f"{model!r} has no version {number}", code="version_not_found", status=404)
        # It served before, so it needs no proof.
        made = self.loader.load(Wanted(model, Version.of(number, event), attempt=0, prove=False))
        assert made is not None  # noqa: S101 - without a proof nothing is waited for
        return made


def _prediction(row: Mapping[str, Any]) -> Prediction:
    answers = (row.get("probability"), row.get("probabilities"), row["prediction"])
    return Prediction(
        row["prediction_id"],
        row["version"],
        row.get("inputs"),
        tuple(json.loads(row.get("redacted") or "[]")),
        next(answer for answer in answers if answer is not None),
    )
