"""Delivers a version: step by step, watched; or makes it a canary or a shadow. And takes one back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream.errors import StageError
from slipstream_airflow.operators.base import Given, SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class DeployOperator(SlipstreamOperator):
    """Deliver a version that passed its gates as ``deploy.rollout`` says; ends when it has taken over.

    An alarm takes the version back and fails the task, which is not tried again.

    Args:
        version: Number of the version, or the output of :class:`PackageOperator`; default: the newest.
        weight: Share of the keys that it answers, from 0 to 1, as a canary that stays until another deployment; 1: it
            takes the champion's place at once. Default: it is delivered.
        shadow: Whether it answers too, but to nobody, and stays so.
        again: Whether a version that an alarm took back before is tried again, and a retired model is brought back.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    template_fields = (*SlipstreamOperator.template_fields, "version", "weight", "shadow", "again")

    def __init__(
        self,
        *,
        model: str,
        version: Given = None,
        weight: float | str | None = None,
        shadow: bool | str = False,
        again: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(model=model, **kwargs)
        self.version = version
        self.weight = weight
        self.shadow = shadow
        self.again = again

    def execute(self, context: Context) -> dict[str, Any]:
        """The version that serves now and the one before it."""
        from slipstream.stages.deploy import How, deploy

        with self.job(context) as job:
            version, weight = job.version_of(self.version), _weight(self.weight)
            how: How = "shadow" if _yes(self.shadow) else "steps" if weight is None else "weight"
            more: dict[str, Any] = {"weight": weight, "again": _yes(self.again), "progress": self.log.info}
            return deploy(job.spec, job.store, version, **job.place, how=how, **more).figures()


class RollbackOperator(SlipstreamOperator):
    """Take back the deployment that is under way; without one, go back to the newest version that was champion before
    and was not itself left by a rollback. Ends when the endpoint answers with it.

    Args:
        reason: Why, in one sentence; kept in the ledger.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    template_fields = (*SlipstreamOperator.template_fields, "reason")

    def __init__(self, *, model: str, reason: str = "", **kwargs: Any) -> None:
        super().__init__(model=model, **kwargs)
        self.reason = reason

    def execute(self, context: Context) -> dict[str, Any]:
        """The version that serves again and the one that was left."""
        from slipstream.stages.deploy import roll_back

        run: Any = context.get("dag_run")
        # A task that is run again must not go back a second time.
        request = f"airflow:{run.dag_id}/{run.run_id}/{self.task_id}" if run is not None else ""
        with self.job(context) as job:
            return roll_back(job.spec, job.store, **job.place, reason=self.reason, request=request).figures()


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
