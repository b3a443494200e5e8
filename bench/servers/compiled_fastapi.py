"""FastAPI with Slipstream's own scorer instead of pandas and scikit-learn: what is gained by the scorer alone."""

import os
from typing import Any

from fastapi import FastAPI
from flight import Flights

from slipstream.bundle.bundle import open_bundle
from slipstream.bundle.scorer import load_scorer
from slipstream.store import Store

app = FastAPI()
scorer = load_scorer(open_bundle(Store.open(os.environ["SLIPSTREAM_STORE"]), os.environ["BUNDLE"]))


@app.get("/readyz")
def ready() -> dict[str, bool]:
    """The model is loaded before the server listens."""
    return {"ready": True}


@app.post("/predict")
async def predict(flights: Flights) -> dict[str, list[Any]]:
    """Labels and the probability of being late, one for each row; too quick to be worth a thread."""
    columns = {name: [getattr(row, name) for row in flights.rows] for name in scorer.schema.names}
    answers = scorer.predict(columns)
    return {"predictions": answers.predictions, "probabilities": answers.probabilities or []}
