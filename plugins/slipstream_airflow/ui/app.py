"""The one web app of the pages. Every route asks who is there, answers with strict headers, and only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from slipstream.settings import Settings
from slipstream.store import Store
from slipstream_airflow.ui.failures import failures
from slipstream_airflow.ui.reading import StoreReader
from slipstream_airflow.ui.words import FILTERS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PAGE_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-src 'self'; frame-ancestors 'self'; "
    "base-uri 'self'; form-action 'none'"
)
REPORT_CSP = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
FRAMES = {"iframe", "frame"}
NO_FRAME = (
    "This report is shown in the frame of its page only: the address without /content. A browser says where it shows a "
    "page over HTTPS and at 127.0.0.1; over plain HTTP elsewhere it does not."
)
EVIDENTLY_CSP = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; connect-src 'none'; frame-ancestors 'self'"
)
"""HTML made by others runs text from the data as script (measured): it gets an origin of its own and no network."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The app; documentation routes and static mounts would be open to everybody, so there are none."""
    settings = settings or Settings.from_environment()
    app = FastAPI(title="Slipstream", dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
    app.state.reading = StoreReader(settings, Store.open(settings.store))
    app.state.templates = Environment(
        loader=PackageLoader("slipstream_airflow.ui"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    app.state.templates.filters.update(FILTERS)
    app.middleware("http")(_headers)
    app.add_api_route("/", _models, response_class=HTMLResponse)
    app.add_api_route("/models/{model}", _model, response_class=HTMLResponse)
    app.add_api_route("/dags/{dag_id}", _dag, response_class=HTMLResponse)
    app.add_api_route("/reports/{digest}", _report_page, response_class=HTMLResponse)
    app.add_api_route("/reports/{digest}/content", _report_content)
    app.exception_handler(HTTPException)(_refused)
    return app


User = Annotated[Any, Depends(get_user)]


def _models(request: Request, user: User) -> HTMLResponse:
    """All models that the user may see."""
    reading: StoreReader = request.app.state.reading
    rows = [row for row in reading.models() if _may_see(user, row.name)]
    return _page(request, "models.html", models=rows)


def _model(request: Request, model: str, user: User) -> HTMLResponse:
    """One model: what serves, its versions, what happened."""
    reading: StoreReader = request.app.state.reading
    if not (_may_see(user, model) and reading.knows(model)):
        raise HTTPException(404, f"There is no model {model!r}.")
    return _page(request, "model.html", model=reading.model(model), failures=failures(model))


def _dag(request: Request, dag_id: str, user: User) -> HTMLResponse:
    """The page of the model that a DAG belongs to, for the tab on that DAG."""
    model = dag_id.rpartition("__")[0]
    reading: StoreReader = request.app.state.reading
    if not model or not reading.knows(model):
        return _page(request, "message.html", title="Not a model's DAG", text="This DAG belongs to no model project.")
    return _model(request, model, user)


def _report_page(request: Request, digest: str, user: User) -> HTMLResponse:
    """A report in its frame."""
    report = _report(request, digest, user)
    return _page(request, "report.html", report=report)


def _report_content(request: Request, digest: str, user: User) -> Response:
    """The bytes of a report, for the frame; whoever opens them alone gets them in a sandbox too.

    What others rendered is for the frame only: alone, its script could go to another origin with what the page says.
    """
    report = _report(request, digest, user)
    if report.foreign and request.headers.get("sec-fetch-dest") not in FRAMES:
        raise HTTPException(403, NO_FRAME)
    content = request.app.state.reading.store.objects.get(digest)
    policy = EVIDENTLY_CSP if report.foreign else REPORT_CSP
    return Response(content, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy})


def _report(request: Request, digest: str, user: Any) -> Any:
    """The report of that digest, if an event of a model that the user may see names it."""
    report = request.app.state.reading.report(digest)
    if report is None or not _may_see(user, report.model):
        raise HTTPException(404, "There is no such report.")
    return report


def _may_see(user: Any, model: str) -> bool:
    """Whether the user may read the model's DAGs: who may see those may see what they made."""
    return bool(get_auth_manager().is_authorized_dag(method="GET", details=DagDetails(id=f"{model}__train"), user=user))


def _page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    root = request.scope.get("root_path", "").rstrip("/")
    html = request.app.state.templates.get_template(template).render(root=root, **context)
    return HTMLResponse(html, status_code=status)


def _refused(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    title = {401: "Please log in", 403: "Not allowed", 404: "Not found"}.get(status, "Refused")
    return _page(request, "message.html", status, title=title, text=str(getattr(error, "detail", "")))


async def _headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.setdefault("Content-Security-Policy", PAGE_CSP)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response
