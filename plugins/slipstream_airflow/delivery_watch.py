"""Delivers a version in Airflow's triggerer: a deployment that bakes for hours takes no worker's slot.

The trigger carries ids only. Whatever it does stands in the ledger, so that it may be killed at any time: the triggerer
that runs it next goes on with the deployment.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from airflow.triggers.base import BaseTrigger, TriggerEvent

from slipstream.errors import SlipstreamError, Superseded
from slipstream_airflow.requests import try_word

if TYPE_CHECKING:
    from slipstream_airflow.hooks import Workplace

T = TypeVar("T")
_ENDING = 20.0
"""Seconds that a thread has to end in which nobody wants any more; Airflow gives ``on_kill`` 30 in all."""
_FIELDS = ("model", "version", "store", "models", "actor", "task_word", "number", "again")


class DeliveryWatch(BaseTrigger):
    """Delivers a version as ``deploy.rollout`` says and fires once, when that has ended.

    The payload of its event is ``run``, the id of the finished run, or what went wrong: ``error``, ``code`` and
    ``retryable``. When somebody marks or clears the waiting task, what this trigger began or took over is taken back.

    Airflow may run it in two triggerers at once, where one seemed to be dead. Then the later one goes on, the earlier
    one says nothing of that, and its ``on_kill``, which Airflow calls too, finds that the deployment is another's.

    Args:
        model: The model's name.
        version: The version's number.
        store: URL of the store; None for ``SLIPSTREAM_STORE``.
        models: Folder of the model projects; None for ``SLIPSTREAM_MODELS``.
        actor: Who asked for it.
        task_word: The word of the task that waits.
        number: Which of its tries that is.
        again: Whether a version that an alarm took back before is tried again.
    """

    def __init__(  # noqa: PLR0913 - ids, each by name
        self,
        *,
        model: str,
        version: int,
        store: str | None,
        models: str | None,
        actor: str,
        task_word: str,
        number: int,
        again: bool,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.version = version
        self.store = store
        self.models = models
        self.actor = actor
        self.task_word = task_word
        self.number = number
        self.again = again
        self._word = try_word(task_word, number, uuid4().hex[:8])
        self._wanted, self._ended = threading.Event(), threading.Event()
        self._ended.set()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Where the class is, and its arguments."""
        return f"{__name__}.DeliveryWatch", {name: getattr(self, name) for name in _FIELDS}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event, when the delivery has ended."""
        self._wanted.set()
        self._ended.clear()
        try:
            payload = await _in_a_thread(self._deliver)
            if payload is None:
                await asyncio.Event().wait()  # until Airflow stops this one
            yield TriggerEvent(payload)  # type: ignore[no-untyped-call]
        finally:
            self._wanted.clear()

    async def on_kill(self) -> None:
        """Take back what this trigger holds: somebody marked or cleared the task while it waited."""
        await _in_a_thread(self._take_back)

    def _deliver(self) -> dict[str, Any] | None:
        """The payload; None if the same trigger goes on elsewhere."""
        # Here and not above: this takes a second, for which the module's import would stop all other triggers.
        from slipstream.stages.deploy import deploy
        from slipstream_airflow.hooks import Workplace

        try:
            place = Workplace.of(self.model, self.store, self.models)
            who: dict[str, Any] = {**place.endpoint, "actor": self.actor, "request": self._word}
            more: dict[str, Any] = {"again": self.again, "progress": self.log.info, "still": self._still}
            return {"run": deploy(place.spec, place.store, self.version, **who, how="steps", **more).run}
        except SlipstreamError as error:
            if isinstance(error, Superseded) and self._goes_on_elsewhere(place):
                return None
            return {"error": str(error), "code": error.code, "retryable": error.retryable}
        finally:
            self._ended.set()

    def _goes_on_elsewhere(self, place: Workplace) -> bool:
        from slipstream.rollout.rollback import mover

        word = mover(place.store, place.store.ledger.state().model(self.model))
        return word.rpartition(":")[0] == try_word(self.task_word, self.number) != ""

    def _still(self) -> None:
        if not self._wanted.is_set():
            raise _NotWantedAnyMore

    def _take_back(self) -> None:
        from slipstream.stages.deploy import take_back
        from slipstream_airflow.hooks import Workplace

        self._ended.wait(_ENDING)  # until then it may begin what is to be taken back
        place, why = Workplace.of(self.model, self.store, self.models), why_taken_back(self.task_word)
        version = take_back(place.spec, place.store, mine=self._word.__eq__, reason=why, actor=self.actor)
        if version is not None:
            self.log.info("Version %s of %s was taken back: somebody ended the task.", version, self.model)


class _NotWantedAnyMore(Exception):
    """Ends the thread of a trigger that was cancelled."""


def why_taken_back(task_word: str) -> str:
    """Why a deployment is taken back whose task was ended, in one sentence."""
    return f"Its task was ended before it had taken over: {task_word.removeprefix('airflow:')}."


async def _in_a_thread(work: Callable[[], T]) -> T:
    """What *work* returns, done in a thread of its own.

    Not ``asyncio.to_thread``: its few threads are for all triggers, and as many deployments would leave none for what
    only takes a look; and a triggerer that ends would wait for them.
    """
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(set_it: Callable[[Any], None], value: Any) -> None:
        if not outcome.done():  # it is, once nobody waits any more
            set_it(value)

    def run() -> None:
        try:
            settled, value = outcome.set_result, context.run(work)
        except Exception as error:
            settled, value = outcome.set_exception, error  # type: ignore[assignment]
        with suppress(RuntimeError):  # the loop is closed: the triggerer ends
            loop.call_soon_threadsafe(settle, settled, value)

    threading.Thread(target=run, name="slipstream-delivery", daemon=True).start()
    return await outcome
