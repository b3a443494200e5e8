"""Answers many rows with a version: batch scoring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slipstream_airflow.assets import scores_asset
from slipstream_airflow.hooks import connection_as_json
from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class ScoreOperator(SlipstreamOperator):
    """Answer the rows of files, or what is new in the model's data, and write the predictions whole and once.

    Emits the asset ``slipstream://<model>/scores`` with the version, the rows and where they are.

    Args:
        path: CSV or Parquet: a file, a folder or a glob, local (relative to the model's folder) or ``s3://``; default:
            ``score.source`` of the model file or, without it, the newest data of the model.
        destination: A .parquet or .csv file or a folder/, local or ``s3://``, or a table of a database as
            ``score.table`` describes it, such as ``{"connection": "shop", "table": "scores"}``; default: what the model
            file says or, if it does not, the store's table ``scores``.
        version: Number of the version, or the output of :class:`PackageOperator`; default: the champion.
        every: Whether all that ``score.source`` has is answered, and not only what is new.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"path": "", "destination": "", "version": None, "every": False}
    emits = staticmethod(scores_asset)

    def execute(self, context: Context) -> dict[str, Any]:
        """How many rows were answered, how many not, and where the predictions are."""
        from slipstream.sources.connections import connections_from
        from slipstream.spec.score import score_table
        from slipstream.stages.score import score

        with self.job(context) as job, connections_from(connection_as_json):
            version = None if self.version in (None, "") else job.version_of(self.version)
            output = score_table(self.destination) if isinstance(self.destination, Mapping) else self.destination
            arguments = {"path": self.path, "version": version, "every": str(self.every).lower() in {"true", "1"}}
            result = score(job.spec, job.store, output=output, actor=job.actor, **arguments)
        for problem in result.problems:
            self.log.warning("not answered: %s", problem)
        self.log.info("%s", result.sentence)
        columns = ("run", "version", "rows", "errors", "output")
        context["outlet_events"][scores_asset(self.model)].extra = {name: getattr(result, name) for name in columns}
        return result.figures()
