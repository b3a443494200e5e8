"""Whether labels that come by the model's key find their predictions: whether those hold it."""

from __future__ import annotations

from slipstream.errors import StageError
from slipstream.spec.model import ModelSpec


def key_is_kept(spec: ModelSpec) -> bool:
    """Whether captured predictions hold the key."""
    try:
        check_key(spec)
    except StageError:
        return False
    return True


def check_key(spec: ModelSpec) -> None:
    """Refuse labels by key where captured predictions do not hold the key.

    Raises:
        StageError: ``key_not_kept``.
    """
    capture = spec.deploy.capture
    # A batch job hands the key through, be it an input or not.
    handed = spec.score is not None and spec.score.source is not None and spec.score.capture
    missing = [name for name in spec.data.key if (name not in spec.inputs and not handed) or name in capture.redact]
    if not spec.data.key or missing or capture.inputs != "values":
        what = "data.key is not set" if not spec.data.key else "deploy.capture.inputs is not 'values'"
        what = f"the key column {missing[0]!r} is no input that is captured" if missing else what
        message = f"{spec.name}: labels cannot be joined by key, because {what}; give the ids of the predictions."
        raise StageError(message, code="key_not_kept")
