"""Scores a candidate on the held-out rows, beside the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class EvaluateOperator(SlipstreamOperator):
    """Score a candidate on the held-out rows, with confidence intervals, slices, and the champion on the same rows.

    Args:
        candidate: Id of the candidate, or the output of :class:`TrainOperator`; default: the newest.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"candidate": None}

    def execute(self, context: Context) -> dict[str, Any]:
        """The scores and, if there is one, the champion's."""
        from slipstream.stages.evaluate import evaluate

        with self.job(context) as job:
            candidate = job.run_of(self.candidate, "train")
            return evaluate(job.spec, job.store, candidate, actor=job.actor).figures()
