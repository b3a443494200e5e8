"""Puts a version into service without steps: in full, with a share of the keys, or as a shadow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slipstream.errors import StageError
from slipstream.rollout.admission import admitted
from slipstream.rollout.attempt import STAGE, Deployed, RolloutPlace, Share
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.state import ModelState


def put(
    spec: ModelSpec, store: Store, version: int, place: RolloutPlace, share: Share, note: Mapping[str, Any]
) -> Deployed:
    """Put *version* into service with that *share*; *note* is what the event that makes it the champion tells beside.

    Raises:
        NotFound, StageError, Conflict, DeployError: as :func:`slipstream.stages.deploy.deploy`.
    """
    state = store.ledger.state().model(spec.name)
    if state.champion == version and state.deployment in {None, version}:
        return _again(store, spec, version)
    attempt = replace(admitted(spec, store, version, place, share), note=note)
    return attempt.finish() if share.full else attempt.begun().work(f"{STAGE.name}-{attempt.key[:16]}")


def share_of(spec: ModelSpec, state: ModelState, version: int, weight: float | None, shadow: bool) -> Share:
    """The share that is asked for.

    Raises:
        StageError: ``weight_invalid``, ``champion_missing`` or ``already_champion``.
    """
    if weight is not None and not 0 <= weight <= 1:
        message = f"{spec.name}: a weight lies between 0 and 1, got {weight:g}; mend it."
        raise StageError(message, code="weight_invalid")
    share = Share(0.0 if shadow else 1.0 if weight is None else weight, shadow)
    if not share.full and state.champion is None:
        message = f"{spec.name}: no version serves yet; deploy version {version} in full first."
        raise StageError(message, code="champion_missing")
    if not share.full and state.champion == version:
        message = f"{spec.name}: version {version} is the champion and answers everything already."
        raise StageError(message, code="already_champion")
    return share


def _again(store: Store, spec: ModelSpec, version: int) -> Deployed:
    """The deployment that made *version* the champion."""
    event = store.ledger.state().model(spec.name).on(STAGE.event, version)[-1]
    return replace(event.result_as(Deployed), reused=True)
