"""Compares what came since training with the training reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class MonitorOperator(SlipstreamOperator):
    """Compare what came since training with the training reference of the champion; skipped as long as there is none.

    It judges and asks for nothing: that is :class:`DecideOperator`'s part.
    """

    skipped_for = ("champion_missing",)

    def execute(self, context: Context) -> dict[str, Any]:
        """The verdicts."""
        from slipstream.stages.monitor import monitor

        with self.job(context) as job:
            return monitor(job.spec, job.store, actor=job.actor).figures()
