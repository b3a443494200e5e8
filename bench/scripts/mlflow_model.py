"""``python mlflow_model.py FOLDER``: the pipeline as MLflow keeps it, with a signature; for the peers' environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import joblib
import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature

folder = Path(sys.argv[1])
pipeline = joblib.load(folder / "pipeline.joblib")
frame = pd.DataFrame(json.loads((folder / "rows.json").read_text(encoding="utf-8")))
mlflow.sklearn.save_model(
    pipeline,
    folder / "mlflow",
    signature=infer_signature(frame, pipeline.predict_proba(frame)),
    pip_requirements=[],
    serialization_format="cloudpickle",
    pyfunc_predict_fn="predict_proba",
)
