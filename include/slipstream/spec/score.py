"""What model.yaml may say of batch scoring: where rows come from and where predictions go."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from slipstream.errors import SpecError
from slipstream.spec.values import Backend, SpecPart, SpecProblem


def _address(value: object) -> object:
    """A URL, or the variable that holds it; what is wrong with either is not shown, for it may hold a password."""
    if not isinstance(value, str | dict):
        raise ValueError("expected {env: NAME}, the environment variable that holds the URL")
    return value


class ScoreTableSpec(SpecPart):
    """A table of a database that predictions are written to."""

    connection: str = ""
    """Id of an Airflow connection; outside Airflow it is the variable `AIRFLOW_CONN_<ID>`."""
    url: Annotated[Any, BeforeValidator(_address, json_schema_input_type=str | dict[str, str])] = Field(
        default="", repr=False
    )
    """In place of it: `{env: NAME}`, the variable that holds the URL; or a URL without a password."""
    table: Annotated[str, Field(min_length=1, max_length=300)]
    """Its name, perhaps with its schema: `sales.scores`. It is made if there is none."""
    mode: Literal["append", "replace"] = "append"
    """`append`: each run adds its rows; `replace`: the table holds the rows of the newest run alone."""
    timeout: int = Field(default=300, ge=1)
    """Seconds that the database may take for one answer."""


def score_table(given: Any) -> ScoreTableSpec:
    """The table that a mapping describes, as the model file does.

    Raises:
        SpecError: ``score_output``: it does not describe one.
    """
    try:
        return ScoreTableSpec.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        what = str(first["msg"]).removeprefix("Value error, ")
        message = f"table{'.' if place else ''}{place}: {what}; it is described as score.table in a model file."
        raise SpecError(message, code="score_output") from None


class ScoreSpec(SpecPart):
    """The model's own batch job, which `slipstream score` and the DAG `<model>__score` run."""

    source: Backend | None = None
    """Where rows come from, as `data.source` has it; without it the newest data of the model. Of a source with a
    watermark, and of files, only what is new is read."""
    output: str = ""
    """A .parquet or .csv file, or a folder that ends in `/`, local or `s3://`; without it the table `scores` of the
    store."""
    table: ScoreTableSpec | None = None
    """In place of it: a table of a database."""
    capture: bool = True
    """Whether rows of `source` go to the predictions table too, as `deploy.capture` says, and so are monitored and
    joined with labels like those of the endpoint."""

    @model_validator(mode="after")
    def _one_place(self) -> ScoreSpec:
        if self.output and self.table is not None:
            message = "predictions are written to one place: write 'output' or 'table', not both"
            raise SpecProblem(message, "output", code="spec_score_output")
        return self
