"""Makes a version the champion, once the endpoint answers with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream_airflow.operators.base import Given, SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class DeployOperator(SlipstreamOperator):
    """Make a version that passed its gates the champion; ends when the endpoint answers with it.

    Args:
        version: Number of the version, or the output of :class:`PackageOperator`; default: the newest.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    template_fields = (*SlipstreamOperator.template_fields, "version")

    def __init__(self, *, model: str, version: Given = None, **kwargs: Any) -> None:
        super().__init__(model=model, **kwargs)
        self.version = version

    def execute(self, context: Context) -> dict[str, Any]:
        """The version that serves now and the one before it."""
        from slipstream.stages.deploy import deploy

        with self.job(context) as job:
            version = job.version_of(self.version)
            return deploy(job.spec, job.store, version, endpoint=job.settings.endpoint, actor=job.actor).figures()
