"""FastAPI as most people write it: rows checked by pydantic, a pandas frame, the scikit-learn pipeline."""

import os

import joblib
import pandas as pd
from fastapi import FastAPI
from flight import Flights

app = FastAPI()
pipeline = joblib.load(os.environ["PIPELINE"])


@app.get("/readyz")
def ready() -> dict[str, bool]:
    """The model is loaded before the server listens."""
    return {"ready": True}


@app.post("/predict")
def predict(flights: Flights) -> dict[str, list[float]]:
    """The probability of being late, one for each row."""
    frame = pd.DataFrame([row.model_dump() for row in flights.rows])
    return {"probabilities": pipeline.predict_proba(frame)[:, 1].tolist()}
