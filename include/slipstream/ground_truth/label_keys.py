"""How labels that come by the model's key find their predictions: the key as one text, and whether it is captured."""

from __future__ import annotations

from collections.abc import Sequence

from slipstream.duck import quoted
from slipstream.errors import StageError
from slipstream.spec.model import ModelSpec


def key_sql(columns: Sequence[str], texts: Sequence[str], of: str = "") -> str:
    """An expression for the values of *columns* as one JSON array: ``texts`` among them as text, others as numbers.

    Args:
        of: Where the columns are, such as ``inputs``; "" for the row itself.
    """
    values = [(name, f"{of}{'.' if of else ''}{quoted(name)}") for name in columns]
    parts = [f"{value if name in texts else _number(value)}::VARCHAR" for name, value in values]
    return f"to_json([{', '.join(parts)}])::VARCHAR"


def _number(value: str) -> str:
    """SQL: a number as text, 7 and 7.0 alike; whole numbers that a double would round stay what they are."""
    number = f"TRY_CAST({value} AS DOUBLE)"
    whole = f"CASE WHEN abs({number}) >= {1 << 53} THEN TRY_CAST({value} AS HUGEINT)::VARCHAR END"
    return f"coalesce({whole}, {number}::VARCHAR)"


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
    missing = [name for name in spec.data.key if name not in spec.inputs or name in capture.redact]
    if not spec.data.key or missing or capture.inputs != "values":
        what = "data.key is not set" if not spec.data.key else "deploy.capture.inputs is not 'values'"
        what = f"the key column {missing[0]!r} is no input that is captured" if missing else what
        message = f"{spec.name}: labels cannot be joined by key, because {what}; give the ids of the predictions."
        raise StageError(message, code="key_not_kept")
