"""One look for every report: a self-contained HTML page with no script, no font and no address from elsewhere."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from slipstream.number_formats import figure
from slipstream.reports import charts

if TYPE_CHECKING:
    from jinja2 import Environment

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render(template: str, *, title: str, model: str, **context: Any) -> bytes:
    """The page that *template* (a file of ``reports/templates``) makes of *context*.

    Every value is escaped; a name that the template uses and the context lacks raises ``jinja2.UndefinedError``.

    Args:
        title: What the page is, e.g. "Validation".
        model: The model that it is about.
    """
    text = (
        _environment().get_template(template).render(title=title, model=model, policy=POLICY, charts=charts, **context)
    )
    return text.encode("utf-8", "replace")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("slipstream.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": _count, "figure": _figure, "percent": _percent, "short": _short}
    return environment


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _figure(value: float | None, digits: int = 4) -> str:
    """So many significant digits, an en dash for nothing."""
    return figure(value, digits, "\N{EN DASH}")


def _percent(share: float | None) -> str:
    return "\N{EN DASH}" if share is None else f"{share:.1%}"


def _short(digest: str) -> str:
    return digest[:12]
