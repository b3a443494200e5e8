"""Back ends that break one promise each; the checks have to notice. Importable, as a model file would name them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from slipstream.errors import BackendError, DeployError
from slipstream.explainers.permutation import PermutationExplainer
from slipstream.slots import Delivery, Explanation, Rollout
from slipstream.sources.files import FilesSource
from slipstream.spec.model import ModelSpec
from slipstream.targets.local import LocalTarget
from slipstream.trainers.sklearn import SklearnTrainer

FOREST = "sklearn.ensemble.RandomForestClassifier"
LOGISTIC = "sklearn.linear_model.LogisticRegression"


def fitted(spec: ModelSpec, frame: Any, seed: int, **parameters: Any) -> Any:
    return SklearnTrainer(LOGISTIC, parameters).fit(spec, frame, seed)


@dataclass
class Thawed:
    """No frozen dataclass."""

    strength: float = 1.0

    def fit(self, spec: ModelSpec, frame: Any, seed: int) -> Any:
        return fitted(spec, frame, seed)


@dataclass(frozen=True, init=False)
class TakesAnything:
    """Takes any argument."""

    def __init__(self, **_: Any) -> None:
        pass

    def fit(self, spec: ModelSpec, frame: Any, seed: int) -> Any:
        return fitted(spec, frame, seed)


@dataclass(frozen=True)
class IgnoresTheSeed:
    """Draws from the global generator."""

    def fit(self, spec: ModelSpec, frame: Any, seed: int) -> Any:
        return SklearnTrainer(FOREST, {"n_estimators": 3}).fit(spec, frame, random.randrange(1000))


@dataclass(frozen=True)
class DependsOnTheProcess:
    """Lets the order of a set decide, as it is in this process."""

    def fit(self, spec: ModelSpec, frame: Any, seed: int) -> Any:
        order = list({f"word {number}" for number in range(50)})
        return fitted(spec, frame, seed, C=1 + order.index("word 7") + order.index("word 8") / 50)


@dataclass(frozen=True)
class ChangesTheFrame:
    """Fills missing values, and scales, in place."""

    def fit(self, spec: ModelSpec, frame: Any, seed: int) -> Any:
        frame["distance"] = frame["distance"] * 2
        return fitted(spec, frame, seed)


class Backwards:
    """Answers with the columns of the probabilities in the other order."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.classes_ = inner.classes_

    def predict(self, inputs: Any) -> Any:
        return self.inner.predict(inputs)

    def predict_proba(self, inputs: Any) -> Any:
        return self.inner.predict_proba(inputs)[:, ::-1]


@dataclass(frozen=True)
class TurnsProbabilities:
    """Its estimator is of a class of its own, and has the probabilities the wrong way round."""

    def fit(self, spec: ModelSpec, frame: Any, seed: int) -> Any:
        return Backwards(fitted(spec, frame, seed))


@dataclass(frozen=True)
class FailsOnMissing:
    """Hands what it gets to an estimator that takes neither words nor missing values."""

    def fit(self, spec: ModelSpec, frame: Any, seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression().fit(frame[list(spec.inputs)], frame[spec.target])


@dataclass(frozen=True)
class DropsParameters:
    """Takes any parameter, and uses none."""

    parameters: Mapping[str, Any]

    def fit(self, spec: ModelSpec, frame: Any, seed: int) -> Any:
        return fitted(spec, frame, seed)


@dataclass(frozen=True)
class BrokenExplainer:
    """Breaks one promise, by its name."""

    breaks: str

    def explain(self, spec: ModelSpec, estimator: Any, frame: Any, seed: int) -> Explanation:
        if self.breaks == "type" and "KNeighbors" in type(estimator.named_steps["model"]).__name__:
            raise KeyError("coef_")
        if self.breaks == "seed":
            seed = int(np.random.randint(1000))
        explanation = PermutationExplainer(rows=100, repeats=2, top=3).explain(spec, estimator, frame, seed)
        if self.breaks == "frame":
            frame["hour"] = 0.0
        return replace(explanation, **_wrong(explanation).get(self.breaks, {}))


def _wrong(explanation: Explanation) -> dict[str, dict[str, Any]]:
    """What each mistake puts in place of a part of the explanation."""
    importance = dict(explanation.importance)
    return {
        "input": {"importance": {name: value for name, value in importance.items() if name != "hour"}},
        "order": {"importance": dict(reversed(importance.items()))},
        "wrong": {"importance": {"hour": 1.0, "distance": 0.5, "carrier": 0.0}},
        "points": {"effects": {"hour": [(number, 0.0) for number in range(101)]}},
        "finite": {"effects": {"hour": [(1.0, float("nan"))]}},
        "plain": {"effects": {"hour": [(np.float32(1), 0.0)]}},
        "cases": {"cases": [{**case, "effects": {}} for case in explanation.cases]},
    }


@dataclass(frozen=True)
class BrokenSource:
    """Breaks one promise, by its name; else reads files."""

    breaks: str
    path: str = "deliveries/*.parquet"

    def fingerprint(self, spec: ModelSpec, watermark: str) -> str | None:
        if self.breaks == "stays":
            return "always the same"
        if self.breaks == "nameless":
            return ""
        return FilesSource(self.path).fingerprint(spec, watermark)

    def deliver(self, spec: ModelSpec, watermark: str, into: Path) -> Delivery:
        if self.breaks == "nameless" and not list(spec.folder.glob(self.path)):
            raise BackendError("nothing found.")
        delivery = FilesSource(self.path).deliver(spec, "" if self.breaks == "watermark" else watermark, into)
        if self.breaks == "still":
            return replace(delivery, still=bool)
        if self.breaks == "clock":
            return replace(delivery, watermark=delivery.watermark + " " * random.randrange(1, 10**6))
        if self.breaks == "types" and delivery.files:
            return replace(delivery, files=_as_text(delivery, into))
        return delivery


def _as_text(delivery: Delivery, into: Path) -> dict[Path, str]:
    """The files with every value as text, in Parquet, where it stays text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    copies = {}
    for file, name in delivery.files.items():
        rows = pq.read_table(file)
        columns = {
            key: pa.array([None if one is None else f"<{one}>" for one in rows[key].to_pylist()]) for key in ("word",)
        }
        copy = into / f"{hashlib.sha256(name.encode()).hexdigest()[:8]}.parquet"
        pq.write_table(pa.table({key: columns.get(key, rows[key]) for key in rows.column_names}), copy)
        copies[copy] = name
    return copies


@dataclass(frozen=True)
class BrokenTarget:
    """Breaks one promise, by its name; else proves a version in this process, and waits for what is not there."""

    breaks: str

    def roll_out(self, rollout: Rollout) -> None:
        import time

        if self.breaks == "early":
            return None
        deadline = time.monotonic() + rollout.timeout * (1.8 if self.breaks == "late" else 1)
        while True:
            try:
                return LocalTarget().roll_out(rollout)
            except DeployError as error:
                reason = str(error)
            if self.breaks == "deaf":
                with contextlib.suppress(Exception):
                    rollout.still()
            else:
                rollout.still()
            if time.monotonic() > deadline:
                key = rollout.endpoint_key if self.breaks == "key" else ""
                text = "not there." if self.breaks == "nameless" else f"{reason} {key}"
                raise ValueError(text) if self.breaks == "error" else DeployError(text)
            time.sleep(0.05)


_OWN_LINES: dict[str, list[str]] = {}
"""What this process wrote to a file: all that a tracker knows which "overwrites"."""


@dataclass(frozen=True)
class BrokenTracker:
    """Breaks one promise, by its name; else adds lines to a file."""

    breaks: str
    path: str

    def record(self, model: str, stage: str, run: str, figures: Mapping[str, Any]) -> None:
        file = Path(self.path)
        if self.breaks == "stage":
            stage = ""
        if self.breaks == "figures":
            figures.pop("scores", None)  # type: ignore[attr-defined]
        line = json.dumps(
            {"model": model, "stage": stage, "run": run, "figures": figures}, allow_nan=self.breaks != "odd"
        )
        if self.breaks == "overwrites":
            _OWN_LINES.setdefault(self.path, []).append(line)
            file.write_text("".join(f"{one}\n" for one in _OWN_LINES[self.path]))
            return
        with file.open("a") as out:
            out.write(f"{line}\n")
