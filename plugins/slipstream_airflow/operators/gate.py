"""Judges a version by the gates of the model file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.utils.skipmixin import SkipMixin

from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class GateOperator(SlipstreamOperator, SkipMixin):
    """Judge a version by the model's gates. A refusal is no failure: it skips what comes after and says why.

    Args:
        version: Number of the version, or the output of :class:`PackageOperator`; default: the newest.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"version": None}
    inherits_from_skipmixin = True

    def execute(self, context: Context) -> dict[str, Any]:
        """Whether the version passed, and each gate's verdict."""
        from slipstream.stages.gate import gate

        with self.job(context) as job:
            result = gate(job.spec, job.store, job.version_of(self.version), actor=job.actor)
        for verdict in result.verdicts:
            self.log.info("%s %s: %s", "passed " if verdict.passed else "REFUSED", verdict.gate, verdict.sentence)
        if not result.passed:
            # Skipping leaves this method by an exception, so what is left for others must be pushed before it.
            context["ti"].xcom_push(key="return_value", value=result.figures())
            self.skip(context["ti"], context["task"].get_direct_relatives(upstream=False))
        return result.figures()
