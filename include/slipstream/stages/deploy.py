"""Deploy: makes a version the champion, once its target answers with it. What served before serves on until then.

The rollout stands between two events: ``deployment.started``, which the endpoint follows, and ``deployment.finished``
or ``deployment.rolled_back``. A task killed anywhere between is simply run again: until a deployment is closed, its key
is the same, so that the rerun finds what was begun and finishes it. A canary or a shadow stays between the two events
until somebody deploys the version in full or rolls it back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from slipstream.errors import StageError
from slipstream.rollout.admission import check_wanted, registered_event
from slipstream.rollout.at_once import put, share_of
from slipstream.rollout.attempt import Deployed, RolloutPlace
from slipstream.rollout.delivery import deliver, is_watched
from slipstream.rollout.rollback import RolledBack, rolled_back, withdrawn
from slipstream.rollout.steps import Progress
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

How = Literal["steps", "full", "weight", "shadow"]


def deploy(  # noqa: PLR0913 - what to put into service by position, how by name
    spec: ModelSpec,
    store: Store,
    version: int,
    *,
    endpoint: str,
    endpoint_key: str = "",
    how: How | None = None,
    weight: float | None = None,
    again: bool = False,
    actor: str = "",
    request: str = "",
    progress: Progress | None = None,
    still: Callable[[], object] = bool,
) -> Deployed:
    """Put *version* into service; the champion again is returned as reused.

    By ``steps``, those of ``deploy.rollout``: each is watched for its bake, and an alarm takes the version back. The
    first version, and one for a target that cannot be watched, is put into service in full at once. With a ``weight``
    or as a ``shadow`` the deployment stays open: deploy the version again, with another weight or in ``full``, or take
    it back with :func:`roll_back`.

    Args:
        spec: The model.
        store: The store.
        version: The version's number.
        endpoint: URL of the installation's endpoint.
        endpoint_key: The API key to ask it with; "" for none.
        how: ``steps``, ``full``, ``weight``, or ``shadow``, which needs no approval, for nobody sees its answers; None:
            ``weight`` where one is given, else ``full``.
        weight: With ``weight``: the share of the keys that it answers, from 0 to 1.
        again: Whether a retired model is brought back and, by steps, a version tried that an alarm took back before.
        actor: Who asked for it.
        request: A word of the caller for this one request, by which :func:`take_back` knows what it began.
        progress: Told of the progress of the steps, a line at a time.
        still: Called now and then while waiting; what it raises ends the wait, and the deployment stays as it is.

    Raises:
        NotFound: ``version_not_found``.
        StageError: ``gate_not_passed``, ``approval_missing``, ``approval_refused``, ``weight_invalid``,
            ``champion_missing``, ``model_retired``, for a share of the champion itself ``already_champion`` or, by
            steps, ``version_rolled_back`` or ``alarm_without_labels``.
        Conflict: ``promotion_stale`` or ``deployment_in_flight``. As Superseded: another call moved or closed the same
            deployment meanwhile, and goes on undisturbed.
        DeployError: the version did not come into service; the event ``deployment.rolled_back`` says why: by steps
            with ``rolled_back`` for an alarm.
    """
    place = RolloutPlace(endpoint, endpoint_key, actor, request, still)
    how = how or ("full" if weight is None else "weight")
    if (weight is None) == (how == "weight"):
        message = f"{spec.name}: how is {how!r} and weight is {weight}: give a weight with how='weight', and only then."
        raise StageError(message, code="weight_invalid")
    if how == "steps":
        return deliver(spec, store, version, place, progress=progress, again=again)
    state = store.ledger.state().model(spec.name)
    registered_event(spec, state, version)
    check_wanted(spec, state, again=again)
    share = share_of(spec, state, version, weight, shadow=how == "shadow")
    note = {"reason": f"Version {version} was put into service in full, by itself.", "evidence": {}}
    return put(spec, store, version, place, share, note)


def waits(spec: ModelSpec, store: Store, version: int) -> bool:
    """Whether :func:`deploy` by steps would watch *version*, which takes as long as the bakes of its steps."""
    return is_watched(spec, store, version)


def take_back(
    spec: ModelSpec, store: Store, *, mine: Callable[[str], bool], reason: str, actor: str = ""
) -> int | None:
    """Close the open deployment if a request that is the caller's began or moved it last, so that what served before
    answers everything again; anybody else's stays as it is. Returns at once: the endpoint follows the ledger.

    Args:
        spec: The model.
        store: The store.
        mine: Whether that ``request`` of :func:`deploy` is the caller's; one that was given none never is.
        reason: Why, in one sentence.
        actor: Who asked for it.

    Returns:
        The version that was taken back; None if nothing of the caller's was open.

    Raises:
        Superseded: the deployment went on moving meanwhile.
    """
    return withdrawn(spec, store, RolloutPlace("", "", actor), mine, reason)


def roll_back(  # noqa: PLR0913 - where by name, why, and for whom
    spec: ModelSpec,
    store: Store,
    *,
    endpoint: str,
    endpoint_key: str = "",
    reason: str = "",
    actor: str = "",
    request: str = "",
) -> RolledBack:
    """Close the open deployment, so that the champion answers everything again; without one, put the newest version
    back into service that was champion and was not itself left by a rollback. It did serve, so it needs no gate and no
    approval. Rolled back again, the model goes further back.

    Args:
        spec: The model.
        store: The store.
        endpoint: URL of the installation's endpoint.
        endpoint_key: The API key to ask it with; "" for none.
        reason: Why, in one sentence.
        actor: Who asked for it.
        request: A word of the caller for this one request; repeated, it finds what it did. "": each call is a new one.

    Raises:
        StageError: ``rollback_impossible``: there is nothing to go back to; ``model_retired``.
        Conflict: ``deployment_in_flight``: somebody else deploys just now. As Superseded: what was open is taken back,
            and another deployment began before the target said so.
        DeployError: the target does not answer as it should.
    """
    place = RolloutPlace(endpoint, endpoint_key, actor)
    return rolled_back(spec, store, place, reason=reason, request=request)
