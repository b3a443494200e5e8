"""Names that columns have somewhere, or could have: what breaks SQL, HTML, JSON, CSV, YAML or one of our own tables."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import strategies as st

EVIL = ['"><img src=x onerror=alert(1)>', "</script><script>alert(1)</script>", "{{ 7 * 7 }}"]
NAMES = [
    *EVIL, "n", "held", "trained", "word", "cell", "col", "nth", "total", "key", "id", "label", "time", "prediction",
    "probability", "version", "role", "moment", "inputs", "answer", "rowid", "filename", "file_index", "seen", "order",
    "group", "a.b", "a.b.c", ".", "a=b", "a,b", "a;b", "a:b", "it's", 'say "hi"', '""', "back\\slash", "\\", "100%",
    "%s", "{}", "[0]", "line\nend", "tab\t", "\r", " edge ", " ", "\u00a0", "\u200b", "\u202e", "\u00e9", "e\u0301",
    "\u00df", "\U0001f6b2", "__proto__", "class", "self", "None", "null", "nan", "true", "0", "-1", "1e5", "header:x",
    "//", "../..", "#", "?", "&amp;", "$", "`", "~", "column 1 without a name", "x (delivered)", "x" * 128, "route",
]  # fmt: skip
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def several(count: int) -> st.SearchStrategy[list[str]]:
    """So many names for columns beside each other, odd ones or any text."""
    any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
    name = st.one_of(st.sampled_from(NAMES), any_text).filter(lambda one: not one.startswith("slipstream_"))
    return st.lists(name, min_size=count, max_size=count, unique_by=str.lower)


def yaml(model: dict[str, Any]) -> str:
    """A model file; YAML takes JSON, but for some characters that it wants escaped."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(model, ensure_ascii=False))
