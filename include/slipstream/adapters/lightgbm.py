"""A LightGBM booster, kept as its text."""

from __future__ import annotations

from typing import Any

from slipstream.adapters.answering import FileModel, library


class LightgbmModel(FileModel):
    """Answers by a booster in LightGBM's own text format."""

    def _open(self) -> None:
        self._booster = library("lightgbm").Booster(model_str=self.content.decode())

    @property
    def booster_(self) -> Any:
        """The booster."""
        return self._booster

    def raw(self, frame: Any) -> Any:
        """What the booster answers, by one thread."""
        return self._booster.predict(self.matrix(frame), num_threads=1)
