"""Past predictions: what was asked and answered, and the version that did."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence

from slipstream.errors import RequestError
from slipstream.serving.capture.writer import Capture
from slipstream.serving.models.desired import DesiredVersion
from slipstream.serving.models.loader import Loader, LoadRequest
from slipstream.serving.models.traffic_split import TrafficSplit
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.store.predictions import Prediction, find_predictions

_log = logging.getLogger("slipstream")
LOADED = 2
"""So many versions that serve no more stay loaded."""


class PredictionLookup:
    """Finds predictions in the captured rows.

    Args:
        capture: Writes the rows.
        loader: Loads versions that serve no more.
    """

    def __init__(self, capture: Capture, loader: Loader) -> None:
        self.capture = capture
        self.loader = loader
        self._versions: OrderedDict[tuple[str, int], LoadedVersion] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, model: str, ids: Sequence[str]) -> list[Prediction]:
        """The predictions of these ids, in their order. Rows that this process has yet to write are written first.

        Raises:
            RequestError: ``prediction_not_found``, or ``prediction_damaged``: it may be in a file that is not what was
                written.
        """
        if self.capture.waiting:
            self.capture.flush()
        predictions, damaged = find_predictions(self.capture.store.tables, model, ids)
        for one in ids:
            if one not in predictions and damaged:
                _log.error("%s: damaged files of predictions: %s", model, ", ".join(damaged))
                message = f"the rows of {model!r} that may hold {one} are damaged; `slipstream verify` names them"
                raise RequestError(message, code="prediction_damaged", status=503, field=one)
            if one not in predictions:
                message = f"no captured prediction of {model!r} has the id {one}; new ones appear within seconds"
                raise RequestError(message, code="prediction_not_found", status=404, field=one)
        return [predictions[one] for one in ids]

    def version(self, split: TrafficSplit, number: int) -> LoadedVersion:
        """The version of that number: as it serves, or loaded for this.

        Raises:
            RequestError: ``version_not_found``.
            BundleError, ChecksumMismatch, NotFound: its bundle cannot be trusted or is gone.
        """
        loaded = split.loaded(str(number))
        if loaded is not None:
            return loaded
        model = split.champion.model
        with self._lock:
            opened = self._versions.pop((model, number), None) or self._load(model, number)
            self._versions[model, number] = opened
            while len(self._versions) > LOADED:
                self._versions.popitem(last=False)
        return opened

    def _load(self, model: str, number: int) -> LoadedVersion:
        event = self.loader.store.ledger.state().model(model).versions.get(number)
        if event is None:
            raise RequestError(f"{model!r} has no version {number}", code="version_not_found", status=404)
        # It served before, so it needs no proof.
        loaded = self.loader.load(LoadRequest(model, DesiredVersion.of(number, event), attempt=0, prove=False))
        assert loaded is not None  # noqa: S101 - without a proof nothing is waited for
        return loaded
