"""Fits a candidate on a dataset version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class TrainOperator(SlipstreamOperator):
    """Fit a candidate on the training rows of a dataset version.

    Args:
        dataset: Id of the dataset version, or the output of :class:`ValidateOperator`; default: the newest.
        reason: Why it is asked for, in one sentence; kept with the run. Default: the reason of the retraining policy,
            if that asked for it.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"dataset": None, "reason": ""}

    def execute(self, context: Context) -> dict[str, Any]:
        """The candidate's id and the rows that it was trained on."""
        from slipstream.stages.train import train

        with self.job(context) as job:
            dataset = job.dataset_of(self.dataset)
            return train(job.spec, job.store, dataset, actor=job.actor, reason=self.reason or "").figures()
