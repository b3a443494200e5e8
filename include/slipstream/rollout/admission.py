"""Which versions may be put into service, and by what attempt."""

from __future__ import annotations

from dataclasses import replace

from slipstream.errors import NotFound, StageError
from slipstream.rollout.approval import require_approval
from slipstream.rollout.attempt import STAGE, Attempt, RolloutPlace, Share
from slipstream.runs import run_key
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.payloads import GateFinished
from slipstream.store.state import Event, ModelState


def admitted(spec: ModelSpec, store: Store, version: int, place: RolloutPlace, share: Share) -> Attempt:
    """An attempt with a version that may be deployed: it passed its gates and, if anybody sees its answers, approval.

    Raises:
        NotFound: ``version_not_found``.
        StageError: ``gate_not_passed``, ``approval_missing`` or ``approval_refused``.
    """
    state = replace(store.ledger.state().model(spec.name))
    registered = registered_event(spec, state, version)
    _require_gate(spec, store, registered, version)
    if not share.shadow:
        require_approval(spec, store, version)
    return attempt_of(spec, store, state, version, place, share)


def attempt_of(
    spec: ModelSpec, store: Store, state: ModelState, version: int, place: RolloutPlace, share: Share
) -> Attempt:
    """The attempt with *version* since the last deployment before *state* was closed: asked for twice, it is one."""
    key = run_key(STAGE, {}, {"version": version, "after": state.closed})
    return Attempt(spec, store, version, state.versions[version], state.closed, key, place, share)


def registered_event(spec: ModelSpec, state: ModelState, version: int) -> Event:
    """The event that registered *version*.

    Raises:
        NotFound: ``version_not_found``.
    """
    if version not in state.versions:
        known = ", ".join(map(str, list(state.versions)[-5:])) or "none"
        raise NotFound(f"{spec.name} has no version {version}. Known: {known}.", code="version_not_found")
    return state.versions[version]


def _require_gate(spec: ModelSpec, store: Store, registered: Event, version: int) -> None:
    """Refuse a version whose newest gate run did not let it pass, or that was never held against the gates."""
    newest = store.ledger.state().model(spec.name).newest("gate", version)
    if newest is None:
        message = f"{spec.name}/{version} was never held against the gates; run the gate stage first."
        raise StageError(message, code="gate_not_passed")
    judged = newest.content_as(GateFinished).result
    if not judged.passed:
        raise StageError(
            f"{spec.name}/{version} did not pass its gates: {' '.join(judged.refusals)}", code="gate_not_passed"
        )


def standing(state: ModelState) -> str:
    """Whether the model serves, in a word."""
    if state.champion is not None:
        return "serving"
    return "retired" if state.retired is not None else "not deployed"


def check_wanted(spec: ModelSpec, state: ModelState, *, again: bool) -> None:
    """Refuse to bring a retired model back, if nobody asked for that *again*.

    Raises:
        StageError: ``model_retired``.
    """
    if state.retired is not None and not again:
        when = state.retired.time[:16].replace("T", " ")
        message = f"{spec.name} was retired on {when} UTC: {state.retired.content.reason} Bring it back with --again."
        raise StageError(message, code="model_retired")
