"""Delivers a version: step by step, watched; or makes it a canary or a shadow. And takes one back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.exceptions import TaskDeferralTimeout

from slipstream.errors import DeployError, StageError, Superseded
from slipstream_airflow.delivery_watch import DeliveryWatch, why_taken_back
from slipstream_airflow.operators.base import Job, SlipstreamOperator
from slipstream_airflow.requests import of_tries_up_to, task_word, try_number, try_word

if TYPE_CHECKING:
    from airflow.sdk import Context


class DeployOperator(SlipstreamOperator):
    """Deliver a version that passed its gates as ``deploy.rollout`` says; ends when it has taken over.

    While the steps of a rollout bake, the task waits in the triggerer (state ``deferred``) and uses no worker. If a
    process dies, it goes on where it was. An alarm takes the version back and fails the task, which is not tried again.
    Whoever marks or clears the task while it works or waits has taken back what it had begun or taken over, and nobody
    else's deployment; what served before serves on.

    Args:
        version: Number of the version, or the output of :class:`PackageOperator`; default: the newest.
        weight: Share of the keys that it answers, from 0 to 1, as a canary that stays until another deployment; 1: it
            takes the champion's place at once. Default: it is delivered.
        shadow: Whether it answers too, but to nobody, and stays so.
        again: Whether a version that an alarm took back before is tried again, and a retired model is brought back.
        deferrable: Whether it waits in the triggerer; otherwise, and where ``store`` names a connection, whose
            credentials are for the task's process alone, it waits in its worker.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"version": None, "weight": None, "shadow": False, "again": False, "deferrable": True}
    _held: _Held | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """The version that serves now and the one before it."""
        from slipstream.stages.deploy import How, deploy, waits

        with self.job(context) as job:
            self._held = held = _Held(job, task_word(context), try_number(context))
            version, weight = job.version_of(self.version), _weight(self.weight)
            how: How = "shadow" if _yes(self.shadow) else "steps" if weight is None else "weight"
            if how == "steps" and self._defers() and waits(job.spec, job.store, version):
                self._wait(held, version)
            who: dict[str, Any] = {**job.place, "request": held.word, "still": held.still}
            more: dict[str, Any] = {"weight": weight, "again": _yes(self.again), "progress": self.log.info}
            with held:
                return deploy(job.spec, job.store, version, **who, how=how, **more).figures()

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """What :meth:`execute` gives, when the triggerer has delivered it."""
        from slipstream.rollout.attempt import Deployed
        from slipstream.runs import find_result

        with self.job(context) as job:
            if "error" in event:
                failed = DeployError(event["error"], code=event["code"])
                failed.retryable = event["retryable"]
                raise failed
            return find_result(job.store, job.spec, event["run"], Deployed).figures()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """As Airflow's; a task whose time is up takes back what it has begun, in the triggerer as in a worker."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            with self.job(context) as job:
                _Held(job, task_word(context), try_number(context)).take_back()
            raise

    def on_kill(self) -> None:
        """Take back what this task has begun: it was marked or cleared, or its time is up."""
        if self._held is not None:
            self._held.killed = True
            self._held.take_back()

    def _defers(self) -> bool:
        return _yes(self.deferrable) and "://" in (self.store or "://")

    def _wait(self, held: _Held, version: int) -> NoReturn:
        self.log.info("Version %d is watched while its rollout bakes; the task waits in the triggerer.", version)
        watch = DeliveryWatch(
            model=self.model,
            version=version,
            store=self.store,
            models=self.models,
            actor=held.job.actor,
            task_word=held.task,
            number=held.number,
            again=_yes(self.again),
        )
        self.defer(trigger=watch, method_name="execute_complete", timeout=self.execution_timeout)


@dataclass
class _Held:
    """What a task may have begun: the job, the word of the task, which try it is at, and whether it was killed."""

    job: Job
    task: str
    number: int
    killed: bool = False

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # The signal may have come just before the deployment began.
        if self.killed and kind is not None:
            self.take_back()

    def still(self) -> None:
        """Raise once the task was killed."""
        if self.killed:
            raise Superseded(f"{self.job.spec.name}: {why_taken_back(self.task)}")

    @property
    def word(self) -> str:
        """The word of this try."""
        return try_word(self.task, self.number)

    def take_back(self) -> None:
        """Close the deployment that the task's tries hold, if there is one. It may run in a signal's handler, between
        any two steps of the delivery: so by a store of its own, and without a word to the log."""
        from slipstream.stages.deploy import take_back
        from slipstream.store import Store

        mine, store = of_tries_up_to(self.task, self.number), Store.open(self.job.settings.store)
        take_back(self.job.spec, store, mine=mine, reason=why_taken_back(self.task), actor=self.job.actor)


class RollbackOperator(SlipstreamOperator):
    """Take back the deployment that is under way; without one, go back to the newest version that was champion before
    and was not itself left by a rollback. Ends when the endpoint answers with it. Killed, it is not undone.

    Args:
        reason: Why, in one sentence; kept in the ledger.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"reason": ""}

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
