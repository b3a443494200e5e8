"""An XGBoost booster, kept as its JSON or UBJSON."""

from __future__ import annotations

import math
from typing import Any

from slipstream.adapters.answering import FileModel, library


class XgboostModel(FileModel):
    """Answers by a booster in XGBoost's own format; up to the best round, if it stopped early."""

    missing = math.nan

    def _open(self) -> None:
        self._xgboost = library("xgboost")
        self._booster = self._xgboost.Booster({"nthread": 1}, model_file=bytearray(self.content))

    def get_booster(self) -> Any:
        """The booster."""
        return self._booster

    @property
    def best_iteration(self) -> int | None:
        """The best round, if the file records one."""
        recorded = self._booster.attr("best_iteration")
        return None if recorded is None else int(recorded)

    @property
    def early_stopping_rounds(self) -> bool:
        """Whether fewer rounds than there are answer."""
        return self.best_iteration is not None

    def raw(self, frame: Any) -> Any:
        """What the booster answers, by one thread."""
        booster, best = self._booster, self.best_iteration
        rows = self._xgboost.DMatrix(
            self.matrix(frame),
            missing=self.missing,
            feature_names=booster.feature_names,
            feature_types=booster.feature_types,
            nthread=1,
        )
        return booster.predict(rows, iteration_range=(0, 0 if best is None else best + 1))
