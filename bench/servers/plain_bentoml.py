"""BentoML as its guide shows it: rows checked by pydantic, a pandas frame, the scikit-learn pipeline."""

import os

import bentoml
import joblib
import pandas as pd
from flight import Flight


@bentoml.service(workers=1)
class Flights:
    """The flights model."""

    def __init__(self) -> None:
        self.pipeline = joblib.load(os.environ["PIPELINE"])

    @bentoml.api
    def predict(self, rows: list[Flight]) -> dict[str, list[float]]:
        """The probability of being late, one for each row."""
        frame = pd.DataFrame([row.model_dump() for row in rows])
        return {"probabilities": self.pipeline.predict_proba(frame)[:, 1].tolist()}
