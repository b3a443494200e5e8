"""Models whose folder was removed: the last model file that a run of theirs was made by stands in the ledger."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from slipstream.errors import SpecError
from slipstream.spec.model import ModelSpec
from slipstream.store import Store


def recorded_spec(store: Store, name: str, folder: Path, *, allow_code: bool = False) -> ModelSpec | None:
    """The spec of the newest run of the model called *name*, as if it stood in *folder*; None if no run kept one.

    Raises:
        SpecError: ``spec_outdated``: this release does not understand it.
    """
    digest = store.ledger.state().model(name).spec
    if not digest:
        return None
    try:
        spec = ModelSpec.model_validate(store.objects.get_json(digest))
    except ValidationError as error:
        message = f"{name}: its folder was removed, and its last model file is of another release; write it anew."
        raise SpecError(message, code="spec_outdated") from error
    return spec.at(folder, allow_code=allow_code)
