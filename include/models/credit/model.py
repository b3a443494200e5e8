"""The model of credit defaults: what is owed, what is earned and how one stands to the other, as smooth curves."""

from __future__ import annotations

from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler

from .ratio import WithRatio


def build(knots: int = 5, C: float = 1.0) -> Pipeline:
    """An estimator that is not fitted; the arguments are `parameters` of the model file."""
    amounts = make_pipeline(SimpleImputer(), WithRatio(), StandardScaler(), SplineTransformer(n_knots=knots))
    prepare = make_column_transformer(
        (amounts, ["balance", "income"]),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["student"]),
    )
    return make_pipeline(prepare, LogisticRegression(C=C, max_iter=1000))
