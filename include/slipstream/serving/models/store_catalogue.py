"""The models of the endpoint, as its front sees them: those that the follower serves, with capture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from slipstream.errors import RequestError
from slipstream.serving.capture.labels import LabelKeeper
from slipstream.serving.capture.writer import Capture
from slipstream.serving.models.follower import Follower
from slipstream.serving.models.loader import Loader
from slipstream.serving.models.prediction_lookup import PredictionLookup
from slipstream.serving.models.revisions import Revision, ServedModel
from slipstream.serving.models.traffic_split import TrafficSplit
from slipstream.serving.version.answer import Answered
from slipstream.serving.version.loaded import LoadedVersion


@dataclass(frozen=True)
class StoreCatalogue:
    """The models of the store."""

    follower: Follower
    capture: Capture

    def ready(self) -> bool:
        """Whether every model that should serve does, or was refused."""
        return self.follower.ready()

    def unread_since(self) -> float | None:
        """Since when the ledger cannot be read, in seconds since 1970; None while it can."""
        return self.follower.unread_since

    def split(self, model: str) -> TrafficSplit | None:
        """The versions that answer for *model*.

        Raises:
            RequestError: ``model_retired``.
        """
        revision = self.follower.now(model)
        if revision is not None and revision.split is None and revision.desired.retired:
            message = f"model {model!r} was retired on {revision.desired.retired[:10]} and serves no more"
            raise RequestError(message, code="model_retired", status=410)
        return revision.split if revision is not None else None

    def describe(self, model: str) -> dict[str, Any] | None:
        """What is known of *model*; None if nothing.

        Its fields:

        * ``model``; ``version`` and ``bundle`` of the champion as it answers now, in all workers;
        * ``engine``: ``compiled`` or ``sklearn``, and ``engine_reason``: why it is not compiled;
        * ``state``: ``serving``; ``loading``: a later event is being prepared; ``refused``: what the last event asks
          for was not taken, and what served before serves on;
        * ``wanted``: the version that the last event asks for, ``seq``: the event that is in force;
        * ``challenger``: ``version``, ``bundle``, ``engine``, ``engine_reason``, ``weight`` and ``sticky``, or null;
        * ``shadow``: ``version``, ``bundle``, ``engine`` and ``engine_reason``, or null;
        * ``previous``: the version that is kept loaded to go back to, or null;
        * ``refused``: ``version``, ``bundle``, ``seq``, ``code`` and ``reason`` of the last refusal since a version was
          taken, or null;
        * ``schema``: what the champion takes and gives.
        """
        served_model = self.follower.served_models.get(model)
        return _described(model, served_model) if served_model is not None and _known(served_model) else None

    def names(self) -> list[str]:
        """All models, sorted."""
        return sorted(name for name, served_model in self.follower.served_models.items() if _known(served_model))

    def keep(self, answered: Answered, split: TrafficSplit) -> None:
        """Hand the answers to the capture, which also asks the shadow."""
        self.capture.offer(answered, split.compared_with(answered.role))

    @cached_property
    def labels(self) -> LabelKeeper:
        """Where labels go."""
        return LabelKeeper(self.capture.store)

    @cached_property
    def lookup(self) -> PredictionLookup:
        """Where past predictions are found, with the versions that made them."""
        follower = self.follower
        loader = Loader(follower.store, follower.loader.max_rows, follower.loader.limits, follower.preflight)
        return PredictionLookup(self.capture, loader)


def _known(served_model: ServedModel) -> bool:
    """Whether a version serves or is to serve; of a first deployment that was rolled back, none does."""
    revision = served_model.now
    return served_model.desired.wanted is not None or (revision is not None and revision.split is not None)


def _described(model: str, served_model: ServedModel) -> dict[str, Any]:
    revision = served_model.now
    split = revision.split if revision is not None else None
    champion, challenger, shadow, previous = (
        (split.champion, split.challenger, split.shadow, split.previous) if split is not None else (None,) * 4
    )
    nothing = {"version": None, "bundle": None, "engine": None, "engine_reason": ""}
    return {
        "model": model,
        **(described(champion) if champion is not None else nothing),
        "state": _state(served_model, revision),
        "wanted": served_model.desired.wanted.number if served_model.desired.wanted else None,
        "challenger": challenger
        and split
        and {**described(challenger), "weight": split.weight, "sticky": split.sticky},
        "shadow": shadow and described(shadow),
        "previous": previous.version if previous is not None else None,
        "refused": revision.refused if revision is not None else None,
        "seq": revision.desired.seq if revision is not None else 0,
        "schema": champion.scorer.schema if champion is not None else None,
    }


def _state(served_model: ServedModel, revision: Revision | None) -> str:
    if revision is None or revision.desired.seq != served_model.desired.seq:
        return "loading"
    wanted = revision.desired.wanted
    refused = revision.refused is not None and wanted is not None and revision.refused.version == wanted.number
    return "refused" if refused else "serving"


def described(served: LoadedVersion) -> dict[str, Any]:
    """What is said of one loaded version."""
    serving = served.card.get("serving") or {}
    reason = "" if served.scorer.engine_name == "compiled" else serving.get("reason") or ""
    return {
        "version": served.version,
        "bundle": served.bundle,
        "engine": served.scorer.engine_name,
        "engine_reason": reason,
    }
