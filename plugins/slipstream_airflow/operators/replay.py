"""Lets champion and challenger answer the same captured requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class ReplayOperator(SlipstreamOperator):
    """Let champion and challenger answer the newest captured requests; a gate of type ``replay`` reads what it finds.

    Args:
        version: Number of the challenger, or the output of :class:`PackageOperator`; default: the newest.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"version": None}

    def execute(self, context: Context) -> dict[str, Any]:
        """How far the two are apart."""
        from slipstream.stages.replay import replay

        with self.job(context) as job:
            return replay(job.spec, job.store, job.version_of(self.version), actor=job.actor).figures()
