"""Which contents a watermark says were read: those of files, wherever these lay."""

from __future__ import annotations

import json
from typing import Any

WEB_FIELDS = {"url", "etag", "modified", "read"}
"""What the watermark of a file on the web consists of; ``read`` are its contents."""


def contents_read(watermark: str) -> frozenset[str] | None:
    """What tells each content that was read; None for a watermark of a source that reads no files."""
    try:
        fields: Any = json.loads(watermark or "[]")
    except ValueError:
        return None
    if isinstance(fields, dict) and fields.keys() == WEB_FIELDS:
        fields = fields["read"]
    return frozenset(map(str, fields)) if isinstance(fields, list) else None
