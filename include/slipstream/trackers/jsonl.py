"""Appends one JSON line per run to a file, for tools that tail files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class JsonLinesTracker:
    """Appends to *path*, which the operator of the installation chooses in the model file."""

    path: str

    def record(self, model: str, stage: str, run: str, figures: Mapping[str, Any]) -> None:
        """Append one line: model, stage, run and the run's figures."""
        file = Path(self.path)
        file.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"model": model, "stage": stage, "run": run, "figures": figures})
        with file.open("a", encoding="utf-8") as out:
            out.write(line + "\n")
