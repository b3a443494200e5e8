"""Derives the data table anew from what was delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from slipstream_airflow.assets import data_asset
from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class RebuildOperator(SlipstreamOperator):
    """Derive the data table anew, after an edit of features.py or ``data.schema``; skipped if nothing would change.

    Emits the asset ``slipstream://<model>/data`` with the dataset version and its figures.

    Args:
        wanted: Whether to do it at all, as a truth value or the text of one, such as ``{{ params.rebuild }}``.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"wanted": True}
    emits = staticmethod(data_asset)

    def execute(self, context: Context) -> dict[str, Any]:
        """The dataset version and its counts."""
        from slipstream.stages.rebuild import rebuild

        if str(self.wanted).lower() != "true":
            raise AirflowSkipException("Nobody asked for it.")
        with self.job(context) as job:
            result = rebuild(job.spec, job.store, actor=job.actor)
        if result.reused:
            raise AirflowSkipException(f"The data table of {self.model} is up to date.")
        extra: Any = {"dataset": result.dataset, "rows": result.rows, "quarantined": result.quarantined}
        context["outlet_events"][data_asset(self.model)].extra = extra | {"good": result.rows}
        return result.figures()
