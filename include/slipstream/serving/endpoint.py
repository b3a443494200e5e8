"""The models of the endpoint, as its front sees them: those that the follower serves, with capture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from slipstream.errors import RequestError
from slipstream.serving.capture import Capture
from slipstream.serving.follow import Follower
from slipstream.serving.labels import LabelKeeper
from slipstream.serving.loading import Loader
from slipstream.serving.past import Past
from slipstream.serving.routes import Routes
from slipstream.serving.served import Answered, Served
from slipstream.serving.steps import Line, Step


@dataclass(frozen=True)
class FollowedModels:
    """The models of the store."""

    follower: Follower
    capture: Capture

    def ready(self) -> bool:
        """Whether every model that should serve does, or was refused."""
        return self.follower.ready()

    def unread_since(self) -> float | None:
        """Since when the ledger cannot be read, in seconds since 1970; None while it can."""
        return self.follower.unread_since

    def routes(self, model: str) -> Routes | None:
        """The versions that answer for *model*.

        Raises:
            RequestError: ``model_retired``.
        """
        step = self.follower.now(model)
        if step is not None and step.routes is None and step.wish.retired:
            message = f"model {model!r} was retired on {step.wish.retired[:10]} and serves no more"
            raise RequestError(message, code="model_retired", status=410)
        return step.routes if step is not None else None

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
        line = self.follower.lines.get(model)
        return _described(model, line) if line is not None and _known(line) else None

    def names(self) -> list[str]:
        """All models, sorted."""
        return sorted(name for name, line in self.follower.lines.items() if _known(line))

    def keep(self, answered: Answered, routes: Routes) -> None:
        """Hand the answers to the capture, which also asks the shadow."""
        self.capture.offer(answered, routes)

    @cached_property
    def labels(self) -> LabelKeeper:
        """Where labels go."""
        return LabelKeeper(self.capture.store)

    @cached_property
    def past(self) -> Past:
        """Where past predictions are found, with the versions that made them."""
        follower = self.follower
        loader = Loader(follower.store, follower.loader.max_rows, follower.loader.bounds, follower.prover)
        return Past(self.capture, loader)


def _known(line: Line) -> bool:
    """Whether a version serves or is to serve; of a first deployment that was rolled back, none does."""
    step = line.now
    return line.wish.wanted is not None or (step is not None and step.routes is not None)


def _described(model: str, line: Line) -> dict[str, Any]:
    step = line.now
    routes = step.routes if step is not None else None
    champion, challenger, shadow, previous = (
        (routes.champion, routes.challenger, routes.shadow, routes.previous) if routes is not None else (None,) * 4
    )
    nothing = {"version": None, "bundle": None, "engine": None, "engine_reason": ""}
    return {
        "model": model,
        **(described(champion) if champion is not None else nothing),
        "state": _state(line, step),
        "wanted": line.wish.wanted.number if line.wish.wanted else None,
        "challenger": challenger
        and routes
        and {**described(challenger), "weight": routes.weight, "sticky": routes.sticky},
        "shadow": shadow and described(shadow),
        "previous": previous.version if previous is not None else None,
        "refused": step.refused if step is not None else None,
        "seq": step.wish.seq if step is not None else 0,
        "schema": champion.scorer.schema if champion is not None else None,
    }


def _state(line: Line, step: Step | None) -> str:
    if step is None or step.wish.seq != line.wish.seq:
        return "loading"
    wanted = step.wish.wanted
    refused = step.refused is not None and wanted is not None and step.refused.version == wanted.number
    return "refused" if refused else "serving"


def described(served: Served) -> dict[str, Any]:
    """What is said of one loaded version."""
    said = served.card.get("serving") or {}
    reason = "" if served.scorer.engine_name == "compiled" else said.get("reason") or ""
    return {
        "version": served.version,
        "bundle": served.bundle,
        "engine": served.scorer.engine_name,
        "engine_reason": reason,
    }
