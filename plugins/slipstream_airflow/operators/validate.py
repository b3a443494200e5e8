"""Checks a batch against the contract and commits its good rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream_airflow.assets import data_asset
from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class ValidateOperator(SlipstreamOperator):
    """Check a batch against the model's contract; commit the good rows and quarantine the bad ones.

    Emits the asset ``slipstream://<model>/data`` with the dataset version and its figures. A failed contract fails the
    task at once, unless the model file says ``quarantine`` or ``warn``.

    Args:
        batch: Id of the batch, or the output of :class:`IngestOperator`; default: the newest.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"batch": None}
    emits = staticmethod(data_asset)

    def execute(self, context: Context) -> dict[str, Any]:
        """The dataset version and the counts of good and quarantined rows."""
        from slipstream.stages.validate import validate

        with self.job(context) as job:
            result = validate(job.spec, job.store, job.batch_of(self.batch), actor=job.actor)
        columns = ("dataset", "rows", "good", "quarantined")
        context["outlet_events"][data_asset(self.model)].extra = {name: getattr(result, name) for name in columns}
        return result.figures()
