"""Says which inputs move a candidate's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class ExplainOperator(SlipstreamOperator):
    """Say which inputs move a candidate's answers, and draw it.

    Args:
        candidate: Id of the candidate, or the output of :class:`TrainOperator`; default: the newest.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"candidate": None}

    def execute(self, context: Context) -> dict[str, Any]:
        """The most important inputs."""
        from slipstream.stages.explain import explain

        with self.job(context) as job:
            candidate = job.run_of(self.candidate, "train")
            return explain(job.spec, job.store, candidate, actor=job.actor).figures()
