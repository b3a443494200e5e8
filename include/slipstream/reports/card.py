"""The model card as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipstream.reports.page import render


def page(card: Mapping[str, Any], lineage: Mapping[str, Any], bundle: str) -> bytes:
    """The HTML page of ``card.json`` and ``lineage.json`` of the bundle of that id."""
    context = {"card": card, "lineage": lineage, "imported": lineage.get("imported", {}), "bundle": bundle}
    return render("card.html", title="Model card", model=card["model"], **context)
