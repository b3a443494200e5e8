"""Compares what came since training with the training reference; may ask for retraining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from slipstream.errors import NotFound
from slipstream_airflow.assets import retrain_asset, retrain_requests
from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue


class MonitorOperator(SlipstreamOperator):
    """Compare what came since training with the training reference of the champion.

    Emits the asset ``slipstream://<model>/retrain``, with the reason, only when retraining is asked for. Skipped as
    long as there is no champion.
    """

    def __init__(self, *, model: str, **kwargs: Any) -> None:
        # Through an alias, because a plain outlet would emit its asset at every run.
        super().__init__(model=model, **({"outlets": [retrain_requests(model)]} | kwargs))

    def execute(self, context: Context) -> dict[str, Any]:
        """The verdicts and the reason for a retraining, if there is one."""
        from slipstream.stages.monitor import monitor

        with self.job(context) as job:
            try:
                result = monitor(job.spec, job.store, actor=job.actor)
            except NotFound as error:
                if error.code == "champion_missing":
                    raise AirflowSkipException(str(error)) from error
                raise
            # A request that a training has answered stays in the reused result, and must not be made again.
            open_request = job.store.ledger.state().model(job.spec.name).retrain
        if result.retrain and open_request is not None:
            extra: dict[str, JsonValue] = {"reason": result.retrain, "run": result.run}
            context["outlet_events"][retrain_requests(self.model)].add(retrain_asset(self.model), extra=extra)
        return result.figures()
