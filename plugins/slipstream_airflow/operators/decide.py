"""Holds what is known against the retraining policy; the one operator that asks for a retraining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream_airflow.assets import retrain_asset, retrain_requests
from slipstream_airflow.operators.base import Job, SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue

    from slipstream.stages.decide import Decided


class DecideOperator(SlipstreamOperator):
    """Decide whether to retrain, by the policy of the model file.

    Emits the asset ``slipstream://<model>/retrain``, with the reason, only when it asks for a retraining. Skipped as
    long as there is no champion, unless the policy asks for a first training.
    """

    # Through an alias, because a plain outlet would emit its asset at every run.
    emits = staticmethod(retrain_requests)
    skipped_for = ("champion_missing",)

    def execute(self, context: Context) -> dict[str, Any]:
        """The decision, its reason and its evidence."""
        from slipstream.stages.decide import decide

        with self.job(context) as job:
            result = decide(job.spec, job.store, actor=job.actor)
            if _asks(job, result):
                extra: dict[str, JsonValue] = {"reason": result.reason, "run": result.run, "trigger": result.trigger}
                context["outlet_events"][retrain_requests(self.model)].add(retrain_asset(self.model), extra=extra)
            return result.figures()


def _asks(job: Job, result: Decided) -> bool:
    """Whether this task tells Airflow of the request: one that no training has answered, and that no other run of the
    DAG has told of already. A second try of the task that made it tells again, for the first may have been killed."""
    request = job.store.ledger.state().model(job.spec.name).retrain
    if result.action != "retrain" or request is None or request.content.run != result.run:
        return False
    return result.actor == job.actor or not result.actor.startswith("airflow:")
