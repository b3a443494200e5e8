"""The assets that a model's DAGs emit and wait for. Their events carry ids and figures in ``extra``."""

from __future__ import annotations

from airflow.sdk import Asset, AssetAlias


def data_asset(model: str) -> Asset:
    """A new dataset version; ``extra``: dataset, rows, good, quarantined."""
    return Asset(f"slipstream://{model}/data", group="slipstream")


def retrain_asset(model: str) -> Asset:
    """A request for retraining; ``extra``: reason (one sentence) and run (of the monitoring)."""
    return Asset(f"slipstream://{model}/retrain", group="slipstream")


def retrain_requests(model: str) -> AssetAlias:
    """The alias through which monitoring emits :func:`retrain_asset`, or does not."""
    return AssetAlias(f"slipstream-{model}-retrain-requests", group="slipstream")
