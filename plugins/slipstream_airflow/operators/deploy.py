"""Makes a version the champion, once the endpoint answers with it; or a canary or a shadow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream.errors import StageError
from slipstream_airflow.operators.base import Given, SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class DeployOperator(SlipstreamOperator):
    """Make a version that passed its gates the champion; ends when the endpoint answers with it.

    Args:
        version: Number of the version, or the output of :class:`PackageOperator`; default: the newest.
        weight: Share of the keys that it answers, from 0 to 1, as a canary beside the champion; default: it takes the
            champion's place.
        shadow: Whether it answers too, but to nobody.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    template_fields = (*SlipstreamOperator.template_fields, "version", "weight", "shadow")

    def __init__(
        self,
        *,
        model: str,
        version: Given = None,
        weight: float | str | None = None,
        shadow: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(model=model, **kwargs)
        self.version = version
        self.weight = weight
        self.shadow = shadow

    def execute(self, context: Context) -> dict[str, Any]:
        """The version that serves now and the one before it."""
        from slipstream.stages.deploy import deploy

        with self.job(context) as job:
            version = job.version_of(self.version)
            place: dict[str, Any] = {"endpoint": job.settings.endpoint, "endpoint_key": job.settings.endpoint_key}
            share: dict[str, Any] = {"weight": _weight(self.weight), "shadow": _yes(self.shadow)}
            return deploy(job.spec, job.store, version, **place, **share, actor=job.actor).figures()


def _weight(given: Any) -> float | None:
    """The weight, which a template gives as text; None if nothing was given."""
    if given is None or str(given).strip() in {"", "None"}:
        return None
    try:
        return float(given)
    except ValueError as error:
        raise StageError(f"weight: {given!r} is no number from 0 to 1; mend it.", code="weight_invalid") from error


def _yes(given: Any) -> bool:
    return str(given).strip().lower() in {"true", "1", "yes"}
