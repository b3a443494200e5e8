"""What all operators share: where they work, for whom, and which errors are worth another try."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, XComArg
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from slipstream.errors import SlipstreamError, StageError
from slipstream.newest import newest_batch, newest_dataset, newest_run, newest_version
from slipstream_airflow.hooks import Workplace
from slipstream_airflow.links import ModelLink, ReportLink

if TYPE_CHECKING:
    from airflow.sdk import Asset, AssetAlias, Context

REASON = "slipstream_error"
"""Under this key a task that failed leaves why."""
_LONGEST_REASON = 1000
Given = str | int | Mapping[str, Any] | XComArg | None
"""What an operator takes for an id: the id or a template, the output of the operator that made it, or nothing for the
newest."""


REQUIRED = Parameter.empty
"""In ``takes``: an argument that has no default."""


@dataclass(frozen=True)
class Job(Workplace):
    """What one execution of an operator works with."""

    actor: str

    @property
    def place(self) -> dict[str, Any]:
        """What stages that deploy take by name: the endpoint, its key and who asks."""
        return {**self.endpoint, "actor": self.actor}

    def batch_of(self, given: Any) -> str:
        """The batch that was *given* (as text or in another stage's output), or the newest.

        Raises:
            StageError: nothing was given and no ingest has brought a batch.
        """
        return str(_value(given, "batch") or newest_batch(self.store, self.spec))

    def run_of(self, given: Any, stage: str) -> str:
        """The run of *stage* that was *given* (as text or in its output), or the newest.

        Raises:
            StageError: nothing was given and the stage has never finished.
        """
        return str(_value(given, "run") or newest_run(self.store, self.spec, stage))

    def dataset_of(self, given: Any) -> str:
        """The dataset version that was *given*, or the newest.

        Raises:
            StageError: nothing was given and the model has no data yet.
        """
        return str(_value(given, "dataset") or newest_dataset(self.store, self.spec))

    def version_of(self, given: Any) -> int:
        """The version number that was *given*, or the newest.

        Raises:
            StageError: it is no number, or nothing was given and the model has no version.
        """
        value = _value(given, "version")
        if value in (None, ""):
            return newest_version(self.store, self.spec)
        try:
            return int(str(value))
        except ValueError as error:
            message = f"{self.spec.name} has no version {value!r}; package one first."
            raise StageError(message, code="version_not_found") from error


def _value(given: Any, field: str) -> Any:
    """What was *given*, taken out of another stage's output if it is one."""
    return given.get(field) if isinstance(given, Mapping) else given


class SlipstreamOperator(BaseOperator):
    """Base of the operators: one stage of one model.

    What a subclass takes beside is its ``takes``: each name with its default, or ``REQUIRED``. All of it may be
    templates and stands in attributes of that name. ``emits`` makes the task's outlet of the model's name.
    ``skipped_for`` are codes of errors for which there is nothing to do yet: the task is skipped.

    Args:
        model: The model's name.
        store: URL of the store, or the id of an Airflow connection to it; default: ``SLIPSTREAM_STORE``.
        models: Folder of the model projects; default: ``SLIPSTREAM_MODELS``.
        **kwargs: What every Airflow operator takes.
    """

    template_fields: Collection[str] = ("model", "store", "models")
    ui_color = "#e8f4f8"
    operator_extra_links = (ModelLink(), ReportLink())
    takes: ClassVar[Mapping[str, Any]] = {}
    skipped_for: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # what ``takes`` names

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "takes" in vars(cls):
            cls.template_fields = tuple(dict.fromkeys((*cls.template_fields, *cls.takes)))
            if "__init__" not in vars(cls):
                cls.__init__ = _constructor(cls)  # type: ignore[method-assign]

    def __init__(self, *, model: str, store: str | None = None, models: str | None = None, **kwargs: Any) -> None:
        values = {name: kwargs.pop(name, default) for name, default in self.takes.items()}
        outlet = self.emits(model)
        if outlet is not None:
            kwargs.setdefault("outlets", [outlet])
        super().__init__(**kwargs)
        self.model = model
        self.store = store
        self.models = models
        self.report = ""
        for name, value in values.items():
            setattr(self, name, value)

    @staticmethod
    def emits(model: str) -> Asset | AssetAlias | None:
        """What a run of the task that ends well emits; None for nothing."""
        return None

    def post_execute(self, context: Context, result: Any = None) -> None:
        """Write the figures to the task's log, and remember the report for the button to it."""
        if not isinstance(result, Mapping):
            return
        self.report = str(result.get("report") or "")
        shown = {name: value for name, value in result.items() if isinstance(value, int | float | str) and value != ""}
        self.log.info("%s", ", ".join(f"{name}: {value}" for name, value in shown.items()))

    @contextmanager
    def job(self, context: Context) -> Iterator[Job]:
        """The spec, the store and who asked; an error that another try cannot mend fails the task at once.

        Raises:
            AirflowSkipException: for errors of the codes of ``skipped_for``.
            AirflowFailException: for errors that are not ``retryable``; the text starts with the error's code.
        """
        try:
            place = Workplace.of(self.model, self.store, self.models)
            yield Job(place.spec, place.store, place.settings, actor_of(context))
        except SlipstreamError as error:
            if error.code in self.skipped_for:
                raise AirflowSkipException(str(error)) from error
            _keep_reason(context, error)
            if error.retryable:
                self.log.warning("[%s] is worth another try: %s", error.code, error)
                raise
            raise AirflowFailException(f"[{error.code}] {error}") from error


def _constructor(kind: type[SlipstreamOperator]) -> Callable[..., None]:
    """The constructor of an operator whose arguments are data, with their names in its signature: by that Airflow fills
    in ``default_args``, tells what is missing, and knows what a mapped task may take."""

    def __init__(self: SlipstreamOperator, **kwargs: Any) -> None:
        super(kind, self).__init__(**kwargs)

    by_name, rest = Parameter.KEYWORD_ONLY, Parameter("kwargs", Parameter.VAR_KEYWORD)
    names = [Parameter(name, by_name, default=default) for name, default in {"model": REQUIRED, **kind.takes}.items()]
    signature = Signature([Parameter("self", Parameter.POSITIONAL_OR_KEYWORD), *names, rest])
    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__


def _keep_reason(context: Context, error: SlipstreamError) -> None:
    """Leave what went wrong where the model's page finds it, for as long as the run is there."""
    ti: Any = context.get("ti")
    if ti is not None:
        ti.xcom_push(key=REASON, value=f"[{error.code}] {error}"[:_LONGEST_REASON])


def actor_of(context: Context) -> str:
    """The user who triggered the run, else the run itself: ``airflow:<dag_id>/<run_id>``."""
    run: Any = context.get("dag_run")
    if run is None:
        return "airflow"
    return user_of(context) or f"airflow:{run.dag_id}/{run.run_id}"


def user_of(context: Context) -> str:
    """The user who triggered the run; "" for a run that a schedule or the retraining policy started."""
    return str(getattr(context.get("dag_run"), "triggering_user_name", None) or "")
