"""What databases and their drivers say when something goes wrong, as one sentence with a code of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slipstream.errors import BackendError, SlipstreamError, SourceError, shown
from slipstream.sources.sql.address import Address

_LONGEST = 300
_LOCK = "pip install --require-hashes -r requirements-sql.txt"
_PACKAGES = {
    "snowflake": "snowflake-sqlalchemy",
    "bigquery": "sqlalchemy-bigquery",
    "redshift": "sqlalchemy-redshift",
    "mssql": "pyodbc",
    "oracle": "oracledb",
    "databricks": "databricks-sqlalchemy",
    "trino": "trino[sqlalchemy]",
    "duckdb": "duckdb-engine",
}
_OURS = {"psycopg", "pymysql", "MySQLdb", "psycopg2"}
_ERRORS: dict[str, Callable[[str], SourceError]] = {
    "login": lambda what: SourceError(f"{what}; mend user and password.", code="source_login_refused"),
    "server": lambda what: SourceError(f"{what}; mend host and port, or start the server.", code="source_unreachable"),
    "database": lambda what: SourceError(f"{what}; mend the name of the database.", code="source_database_unknown"),
    "rights": lambda what: SourceError(
        f"{what}; grant SELECT to the user, or name another one.", code="source_rights_missing"
    ),
    "timeout": lambda what: SourceError(
        f"{what}; run again later, or raise the source's timeout.", code="source_timeout"
    ),
    "lost": lambda what: SourceError(
        f"{what}; run again: nothing was kept of what had come.", code="source_connection_lost"
    ),
    "value": lambda what: SourceError(
        f"{what}; name the columns in a query, and cast the one that is meant there.", code="source_value_unreadable"
    ),
    "query": lambda what: SourceError(f"{what}; mend the query.", code="source_query_failed"),
}
"""What each kind of failure is."""
_WRITING: dict[str, Callable[[str], SourceError]] = {
    **_ERRORS,
    "rights": lambda what: SourceError(
        f"{what}; grant SELECT, INSERT and DELETE on the table to the user, or CREATE where there is none.",
        code="source_rights_missing",
    ),
    "lost": lambda what: SourceError(
        f"{what}; run again: what was on the way was taken back.", code="source_connection_lost"
    ),
    "timeout": lambda what: SourceError(
        f"{what}; run again later, or raise the table's timeout.", code="source_timeout"
    ),
    "query": lambda what: SourceError(f"{what}; nothing was written.", code="source_write_refused"),
}
"""The same, of a database that is written to."""
_BY_STATE = {
    "28": "login",
    "3D": "database",
    "42501": "rights",
    "57014": "timeout",
    "55P03": "timeout",
    "57P": "lost",
    "53300": "server",
    "08": "lost",
}
"""PostgreSQL's SQLSTATE, or its beginning."""
_BY_NUMBER = {
    1045: "login",
    1044: "rights",
    1698: "login",
    1049: "database",
    1142: "rights",
    1143: "rights",
    2003: "server",
    2002: "server",
    2005: "server",
    1040: "server",
    1205: "timeout",
    1969: "timeout",
    3024: "timeout",
    2006: "lost",
    2013: "lost",
    1053: "lost",
    1927: "lost",
    1317: "lost",
}
"""MySQL's and MariaDB's numbers."""
_BY_WORDS = (
    (r"password authentication failed|no password supplied|role .* does not exist", "login"),
    (r"database .* does not exist|not a database|file is encrypted", "database"),
    (r"no pg_hba\.conf entry", "login"),
    (r"connection timeout expired|database is locked|timed out", "timeout"),
    (r"connection refused|could not translate|failed to resolve|name or service|no route|unable to open",
     "server"),
    (r"connection (failed|is bad)|server closed|connection was lost|terminating connection|consuming input failed"
     r"|lost connection|connection already closed", "lost"),
    (r"too (large|small) \(|year .* out of range|could not decode|invalid (byte|start)|utf-8",
     "value"),
)  # fmt: skip


@contextmanager
def in_words(address: Address, *, writing: bool = False) -> Iterator[None]:
    """What goes wrong in the block as an error of ours, which shows no password."""
    from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except SlipstreamError:
        raise
    except ModuleNotFoundError as error:
        raise _missing(address, str(error.name)) from error
    except NoSuchModuleError as error:
        raise _missing(address, address.kind) from error
    except DBAPIError as error:
        # The driver's own error may hold what it was connected with.
        raise _explained(address, error.orig or error, writing) from None
    except SQLAlchemyError as error:
        raise _explained(address, error, writing) from None
    except Exception as error:
        if not type(error).__module__.startswith(("psycopg", "pymysql", "sqlite3")):
            raise
        raise _explained(address, error, writing) from None


def _missing(address: Address, needed: str) -> BackendError:
    package = _PACKAGES.get(address.kind)
    hint = _LOCK if needed in _OURS or package is None else f"pip install '{package}'"
    message = f"source 'sql': {address.name} needs {needed!r}, which is not installed; {hint}."
    return BackendError(message, code="missing_extra")


def _explained(address: Address, error: BaseException, writing: bool) -> SourceError:
    sentence = next((argument for argument in error.args if isinstance(argument, str)), str(error))
    text = " ".join(address.hidden(sentence).split())
    # PostgreSQL shows the place of a mistake below the sentence.
    text = re.sub(r" LINE \d+: .*$", "", text).rstrip(".")
    return (_WRITING if writing else _ERRORS)[_kind(error)](f"{address.name}: {text[:_LONGEST]}")


def _kind(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None) or ""
    for begin, kind in _BY_STATE.items():
        if state.startswith(begin):
            return kind
    if "(timed out)" in str(error):
        return "timeout"
    if error.args and error.args[0] in _BY_NUMBER:
        return _BY_NUMBER[error.args[0]]
    text = str(error).lower()
    for pattern, kind in _BY_WORDS:
        if re.search(pattern, text):
            return kind
    return "query"


def silent(address: Address, seconds: float) -> SourceError:
    """That nothing came for so long."""
    message = f"{address.name}: nothing came for {seconds:g} s; run again later, or raise the source's timeout."
    return SourceError(message, code="source_timeout")


def unknown_column(address: Address, column: str, hint: str) -> SourceError:
    """That the watermark is no column of what is read."""
    message = f"{address.name}: watermark {shown(column)} is no column; {hint}"
    return SourceError(message, code="source_column_unknown")
