"""Makes the signed bundle and the Bento of a candidate and registers a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PackageOperator(SlipstreamOperator):
    """Make the signed bundle and the Bento of an evaluated and explained candidate; registers a version.

    Args:
        candidate: Id of the candidate, or the output of :class:`TrainOperator`; default: the newest.
        evaluation: Id of its evaluation, or the output of :class:`EvaluateOperator`; default: the newest.
        explanation: Id of its explanation, or the output of :class:`ExplainOperator`; default: the newest.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"candidate": None, "evaluation": None, "explanation": None}

    def execute(self, context: Context) -> dict[str, Any]:
        """The version's number, its bundle and its Bento."""
        from slipstream.stages.package import package

        given = (("train", self.candidate), ("evaluate", self.evaluation), ("explain", self.explanation))
        with self.job(context) as job:
            ids = [job.run_of(value, stage) for stage, value in given]
            keys, bentos = job.settings.keys, job.settings.bentos
            return package(job.spec, job.store, *ids, keys=keys, bentos=bentos, actor=job.actor).figures()
