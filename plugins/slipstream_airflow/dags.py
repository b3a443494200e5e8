"""The DAGs that a model file gives: ``<model>__ingest``, ``__train``, ``__monitor``, ``__rollback`` and ``__score``.

Everything here runs each time that Airflow parses a DAG file and again at the start of each task, so nothing heavy is
imported, and a task's process builds the DAGs of its own model only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    DAG,
    AssetAny,
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    MultipleCronTriggerTimetable,
    get_parsing_context,
)
from airflow.sdk.exceptions import AirflowTimetableInvalid

from slipstream.errors import SlipstreamError, SpecError
from slipstream.settings import Settings
from slipstream.spec import loader
from slipstream.spec.model import ModelSpec
from slipstream_airflow.assets import data_asset, predictions_asset, retrain_asset
from slipstream_airflow.docs import dag_text
from slipstream_airflow.forms import INGEST_FORM, ROLLBACK_FORM, SCORE_FORM, TRAIN_FORM
from slipstream_airflow.notifiers import alerts
from slipstream_airflow.operators import (
    ApproveOperator,
    DecideOperator,
    DeployOperator,
    EvaluateOperator,
    ExplainOperator,
    GateOperator,
    IngestOperator,
    JoinOperator,
    LabelsOperator,
    MonitorOperator,
    PackageOperator,
    RebuildOperator,
    ReplayOperator,
    RollbackOperator,
    ScoreOperator,
    TrainOperator,
    ValidateOperator,
)

if TYPE_CHECKING:
    from airflow.sdk import Asset

RETRIES: dict[str, Any] = {
    "retries": 5,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
}
"""10, 20, 40, 80 and 160 s: longer than an api-server needs to come back, which was measured to use up three tries."""


def all_dags() -> dict[str, DAG]:
    """The DAGs of every model project by id, for ``globals()`` of a DAG file; :func:`check` tells of wrong projects."""
    return {dag.dag_id: dag for project in _projects() if not isinstance(project, SlipstreamError) for dag in project}


def check() -> None:
    """Raise the errors of all wrong model projects at once; in a DAG file of its own, so that it hides no right one.

    Raises:
        SpecError: one paragraph per project, with file, line and remedy.
    """
    wrong = [str(project) for project in _projects() if isinstance(project, SlipstreamError)]
    if wrong:
        raise SpecError("\n\n".join(wrong))


def dags_of(spec: ModelSpec) -> list[DAG]:
    """The DAGs of one model; raises SpecError or BackendError if Airflow could not run them."""
    dags = [ingest(spec), train(spec), monitor(spec), rollback(spec)]
    return [*dags, score(spec)] if spec.score is not None or spec.schedule.score else dags


def ingest(spec: ModelSpec) -> DAG:
    """``ingest -> validate``: the next batch is landed, checked and committed; the form can rebuild the table first."""
    with _dag(spec, "ingest", spec.schedule.ingest) as dag:
        rebuilt = RebuildOperator(task_id="rebuild", model=spec.name, wanted="{{ params.rebuild }}", pool=spec.pool)
        batch = IngestOperator(task_id="ingest", model=spec.name, trigger_rule="none_failed")
        rebuilt >> batch
        ValidateOperator(task_id="validate", model=spec.name, batch=batch.output, pool=spec.pool)
    object.__setattr__(dag, "params", INGEST_FORM)
    return dag


def train(spec: ModelSpec) -> DAG:
    """``train -> (evaluate, explain) -> package (-> replay) -> gate (-> approve) -> deploy``: from data to champion."""
    stage = partial(_stage, spec)
    with _dag(spec, "train", ("retrain",)) as dag:
        candidate = stage(TrainOperator, dataset="{{ params.dataset or '' }}", reason="{{ params.reason or '' }}")
        evaluation = stage(EvaluateOperator, candidate=candidate.output)
        explanation = stage(ExplainOperator, candidate=candidate.output)
        version = stage(
            PackageOperator, candidate=candidate.output, evaluation=evaluation.output, explanation=explanation.output
        )
        gated = stage(GateOperator, version=version.output)
        if any(rule.type == "replay" for rule in spec.gates):
            stage(ReplayOperator, version=version.output) >> gated
        if spec.approval.mode == "manual":
            gated = gated >> stage(ApproveOperator, version=version.output, response_timeout=spec.approval.timeout)
        gated >> stage(DeployOperator, version=version.output)
    # Past its setter and after the tasks: the form is proved once, not for every model, and no task needs a copy.
    object.__setattr__(dag, "params", TRAIN_FORM)
    return dag


def monitor(spec: ModelSpec) -> DAG:
    """``(labels ->) join -> monitor -> decide``: what came since training is measured and held against the policy."""
    crons = (spec.retrain.cron,) if spec.retrain.cron else ()
    with _dag(spec, "monitor", tuple(dict.fromkeys((*spec.schedule.monitor, *crons)))) as dag:
        # Without a champion there is nothing to measure, but there may be a first training to ask for.
        brought = [] if spec.monitor.labels is None else [_stage(spec, LabelsOperator)]
        # Labels that do not come are no reason not to look at the inputs.
        joined = _stage(spec, JoinOperator, **({"trigger_rule": "all_done"} if brought else {}))
        brought >> joined
        measured = joined >> _stage(spec, MonitorOperator)
        measured >> _stage(spec, DecideOperator, trigger_rule="none_failed")
    return dag


def rollback(spec: ModelSpec) -> DAG:
    """``rollback``, by hand: what is being deployed is taken back, or the version that served before serves again."""
    with _dag(spec, "rollback", ()) as dag:
        _stage(spec, RollbackOperator, reason="{{ params.reason }}")
    object.__setattr__(dag, "params", ROLLBACK_FORM)
    return dag


def score(spec: ModelSpec) -> DAG:
    """``score``: the model's own batch job, or what the form names in its place."""
    with _dag(spec, "score", spec.schedule.score) as dag:
        named = {name: f"{{{{ params.{name} or '' }}}}" for name in SCORE_FORM}
        _stage(spec, ScoreOperator, **named)
    object.__setattr__(dag, "params", SCORE_FORM)
    return dag


def _projects() -> Iterator[list[DAG] | SlipstreamError]:
    """The DAGs of each model project, or what is wrong with it; in a task's process, those of the task's model only."""
    settings = Settings.from_environment()
    wanted = (get_parsing_context().dag_id or "").rpartition("__")[0]
    if wanted and (settings.models / wanted / loader.FILE).is_file():
        yield dags_of(loader.load_spec(settings.models / wanted, allow_code=settings.allow_code, pools=settings.pools))
        return
    for spec in loader.load_specs(settings.models, allow_code=settings.allow_code, pools=settings.pools):
        if isinstance(spec, SpecError):
            yield spec
            continue
        try:
            yield dags_of(spec)
        except SlipstreamError as error:
            yield type(error)(f"{spec.name}/{loader.FILE}: {error}", code=error.code)


class _Dag(DAG):
    """A DAG known by its id. Airflow's hash writes out the schedule, at each edge: a quarter of parsing."""

    def __hash__(self) -> int:
        return hash(self.dag_id)


def _dag(spec: ModelSpec, verb: str, schedule: tuple[str, ...]) -> DAG:
    text = dag_text(spec, verb)
    return _Dag(
        f"{spec.name}__{verb}",
        description=text.summary,
        doc_md=text.markdown,
        schedule=_schedule(spec, verb, schedule),
        auto_register=False,  # a DAG file hands over its DAGs by globals(); a check makes some and shows none
        catchup=False,
        max_active_runs=1,
        max_active_tasks=4,
        dagrun_timeout=timedelta(days=1) + (spec.approval.timeout if verb == "train" else timedelta()),
        tags=["slipstream", spec.name, spec.task],
        default_args={"owner": spec.owner, "on_failure_callback": alerts(spec), **RETRIES},
    )


def _schedule(spec: ModelSpec, verb: str, entries: tuple[str, ...]) -> Any:
    """Airflow's schedule for the words and the cron expressions of the model file."""
    known: dict[str, Callable[[], Asset]] = {
        "data": lambda: data_asset(spec.name),
        "retrain": lambda: retrain_asset(spec.name),
        "predictions": lambda: predictions_asset(spec.name, Settings.from_environment().store, spec.monitor.min_rows),
    }
    assets = [known[entry]() for entry in entries if entry in known]
    crons = _crons(f"schedule.{verb}", tuple(entry for entry in entries if entry not in known))
    if crons and assets:
        return AssetOrTimeSchedule(timetable=crons, assets=AssetAny(*assets))
    return AssetAny(*assets) if assets else crons


def _crons(place: str, expressions: tuple[str, ...]) -> Any:
    """The timetable of one cron expression or several; None for none."""
    timetables = [_cron(place, expression) for expression in expressions]
    return (
        MultipleCronTriggerTimetable(*expressions, timezone="UTC")
        if len(timetables) > 1
        else next(iter(timetables), None)
    )


def _cron(place: str, expression: str) -> CronTriggerTimetable:
    """The timetable of a cron expression, proved to have a next time: the model file checks its shape only."""
    timetable = CronTriggerTimetable(expression, timezone="UTC")
    try:
        timetable.validate()
    except (ValueError, AirflowTimetableInvalid) as error:
        raise SpecError(f"{place}: {expression!r} is no cron expression: {error}") from error
    return timetable


def _stage(spec: ModelSpec, operator: Any, **arguments: Any) -> Any:
    """The task of a stage, named after it, in the model's pool."""
    name = operator.__name__.removesuffix("Operator").lower()
    return operator(task_id=name, model=spec.name, pool=spec.pool, **arguments)
