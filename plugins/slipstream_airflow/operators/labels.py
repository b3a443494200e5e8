"""Brings labels from files or a source, and joins all labels that came to the predictions that they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream_airflow.hooks import connection_as_json
from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class LabelsOperator(SlipstreamOperator):
    """Add labels to the model's labels table; rows without a usable id or label are told and left out.

    Args:
        path: A CSV, Parquet or JSON-lines file, or a glob: absolute, relative to the model's folder, or ``s3://``;
            default: what is new of the source ``monitor.labels`` of the model file.
        by: ``key`` or ``prediction``: how predictions are told, where the key of the model is called ``id``.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"path": None, "by": None}
    skipped_for = ("champion_missing",)

    def execute(self, context: Context) -> dict[str, Any]:
        """How many labels are new, and what is wrong with the bad ones."""
        from slipstream.sources.connections import connections_from
        from slipstream.stages.labels import labels, parsed_by

        with self.job(context) as job, connections_from(connection_as_json):
            result = labels(job.spec, job.store, self.path or None, by=parsed_by(self.by), actor=job.actor)
        for problem in result.problems:
            self.log.warning("left out: %s", problem)
        return result.figures()


class JoinOperator(SlipstreamOperator):
    """Join the labels that came to the captured predictions, and say how good the answers of the champion were.

    Labels come by the endpoint (``POST /models/<model>/labels``) and by :class:`LabelsOperator`, in any order and as
    late as they like. Without news the last result is reused.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """The deciding metric with its coverage, and what does not fit."""
        from slipstream.stages.join import join

        with self.job(context) as job:
            result = join(job.spec, job.store, actor=job.actor)
        self.log.info("%s", result.sentence)
        return result.figures()
