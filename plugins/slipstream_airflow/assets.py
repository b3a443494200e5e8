"""The assets that a model's DAGs emit and wait for. Their events carry ids and figures in ``extra``."""

from __future__ import annotations

from airflow.sdk import Asset, AssetAlias, AssetWatcher

from slipstream_airflow.triggers import NewRows


def data_asset(model: str) -> Asset:
    """A new dataset version; ``extra``: dataset, rows, good, quarantined."""
    return Asset(f"slipstream://{model}/data", group="slipstream")


def scores_asset(model: str) -> Asset:
    """Predictions of a batch job; ``extra``: run, version, rows, errors, output."""
    return Asset(f"slipstream://{model}/scores", group="slipstream")


def retrain_asset(model: str) -> Asset:
    """A request for retraining; ``extra``: reason (one sentence), run (of the decision) and trigger."""
    return Asset(f"slipstream://{model}/retrain", group="slipstream")


def retrain_requests(model: str) -> AssetAlias:
    """The alias through which a decision emits :func:`retrain_asset`, or does not."""
    return AssetAlias(f"slipstream-{model}-retrain-requests", group="slipstream")


def predictions_asset(model: str, store: str, min_rows: int) -> Asset:
    """New predictions or labels in the *store*, watched by Airflow's triggerer; ``extra``: ``payload``, the number of
    new rows by table. So many new predictions make an event."""
    watcher = AssetWatcher(name=f"{model}-new-rows", trigger=NewRows(model, store, min_rows))
    return Asset(f"slipstream://{model}/predictions", group="slipstream", watchers=[watcher])
