"""Brings the next batch from the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from slipstream_airflow.hooks import connection_as_json
from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class IngestOperator(SlipstreamOperator):
    """Land what the source has after the last committed batch; skipped, with all after it, if there is nothing new."""

    def execute(self, context: Context) -> dict[str, Any]:
        """The batch's id, rows and watermark."""
        from slipstream.sources.connections import connections_from
        from slipstream.stages.ingest import ingest

        with self.job(context) as job, connections_from(connection_as_json):
            result = ingest(job.spec, job.store, actor=job.actor)
            if result.empty:
                newest = job.store.ledger.state().model(self.model).watermark or "the beginning"
                raise AirflowSkipException(f"The source of {self.model} has nothing new after {newest}.")
            return result.figures()
