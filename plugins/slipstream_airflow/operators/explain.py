"""Says which inputs move a candidate's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream_airflow.operators.base import Given, SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class ExplainOperator(SlipstreamOperator):
    """Say which inputs move a candidate's answers, and draw it.

    Args:
        candidate: Id of the candidate, or the output of :class:`TrainOperator`; default: the newest.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    template_fields = (*SlipstreamOperator.template_fields, "candidate")

    def __init__(self, *, model: str, candidate: Given = None, **kwargs: Any) -> None:
        super().__init__(model=model, **kwargs)
        self.candidate = candidate

    def execute(self, context: Context) -> dict[str, Any]:
        """The most important inputs."""
        from slipstream.stages.explain import explain

        with self.job(context) as job:
            candidate = job.run_of(self.candidate, "train")
            return explain(job.spec, job.store, candidate, actor=job.actor).figures()
