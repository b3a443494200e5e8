"""Where the rows are that a model is to be made of, a file or a table of a database, and how the model file says so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipstream.commands.init.look import Look, look, look_at
from slipstream.commands.init.write import plain_yaml
from slipstream.errors import SpecError
from slipstream.sources.http.source import HttpSource
from slipstream.sources.packed import PACKED
from slipstream.sources.sql.address import address_of
from slipstream.sources.sql.snapshot import table_names
from slipstream.sources.sql.source import SqlSource
from slipstream.spec.http_source import holds_secret, url_variable
from slipstream.spec.sql_source import has_secret, variable_of

_COPIED = 50 << 20
_CONNECTION, _VARIABLE = "connection:", "env:"


@dataclass(frozen=True)
class Origin:
    """Rows that were looked at.

    Attributes:
        look: What they hold.
        source: ``data.source``, as YAML writes it.
        copied: The file that goes beside the model file; None for none.
        remark: What has to be done besides; "" for nothing.
    """

    look: Look
    source: str
    copied: Path | None = None
    remark: str = ""


def is_database(given: str) -> bool:
    """Whether ``--from`` names a database: a URL, ``connection:ID`` or ``env:NAME``."""
    return ("://" in given and not is_on_the_web(given)) or given.startswith((_CONNECTION, _VARIABLE))


def is_on_the_web(given: str) -> bool:
    """Whether ``--from`` names a file on the web."""
    return given.lower().startswith(("http://", "https://"))


def of_url(given: str, sheet: str, model: str) -> Origin:
    """A file on the web, of a workbook the *sheet*; one whose URL holds a secret is named by a variable.

    Raises:
        SourceError, DataError: as of the source and of :func:`look`.
    """
    where: dict[str, Any] = {"url": given, **({"sheet": sheet} if sheet else {})}
    remark = ""
    if holds_secret(given):
        variable = url_variable(model)
        os.environ[variable] = given
        remark = f"The URL holds a secret and is not written: set {variable} to it wherever the model runs."
        where["url"] = {"env": variable}
    looked = look_at(HttpSource(**where).deliver, "the URL" if remark else given)
    written = ", ".join(f"{key}: {_flow(value)}" for key, value in where.items())
    return Origin(looked, f"{{type: http, {written}}}", remark=remark)


def of_file(file: Path, sheet: str = "") -> Origin:
    """A file of rows, of a workbook the *sheet*; a small one is copied beside the model file. Errors as of look()."""
    looked = look(file, sheet)
    small = file.stat().st_size <= _COPIED
    suffix = "".join(file.suffixes[-2:]) if file.suffix in PACKED else file.suffix
    path = f"*{suffix}" if small else str(file.resolve())
    named = f", sheet: {plain_yaml(sheet)}" if sheet else ""
    return Origin(looked, f"{{type: files, path: {plain_yaml(path)}{named}}}", file if small else None)


def of_database(given: str, table: str, watermark: str, model: str) -> Origin:
    """A table of a database.

    Args:
        given: ``connection:ID`` of Airflow, ``env:NAME`` of the variable that holds the URL, or the URL.
        table: The table; "" is an error that lists those that there are.
        watermark: The column by which new rows are told; "" for none.
        model: The model's name, by which the variable for a URL with a password is called.

    Raises:
        SourceError: the database cannot be read.
        SpecError: ``init_table_missing``.
    """
    where, remark = named_database(given, model)
    address = address_of(str(where.get("connection", "")), where.get("url", ""))
    if not table:
        known = ", ".join(table_names(address, Path.cwd(), 30)) or "none that this user may see"
        raise SpecError(f"{address.name}: which table? Name one with --table: {known}.", code="init_table_missing")
    config = {**where, "table": table, **({"watermark": watermark} if watermark else {})}
    looked = look_at(SqlSource(**config).deliver, f"{address.name}: {table}")
    written = ", ".join(f"{key}: {_flow(value)}" for key, value in config.items())
    return Origin(looked, f"{{type: sql, {written}}}", remark=remark)


def named_database(given: str, model: str) -> tuple[dict[str, Any], str]:
    """The database as the model file names it, and what is to be set so that it is found."""
    if given.startswith(_CONNECTION):
        return {"connection": given.removeprefix(_CONNECTION)}, ""
    if given.startswith(_VARIABLE):
        return {"url": {"env": given.removeprefix(_VARIABLE)}}, ""
    if has_secret(given):
        variable = variable_of(model)
        os.environ[variable] = given
        remark = f"The URL holds a password and is not written: set {variable} to it wherever the model runs."
        return {"url": {"env": variable}}, remark
    scheme, _, path = given.partition(":///")
    if scheme == "sqlite" and path:
        # The model file has another folder than this command.
        return {"url": f"sqlite:///{Path(path).absolute()}"}, ""
    return {"url": given}, ""


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {plain_yaml(one)}' for key, one in value.items())}}}"
    return plain_yaml(value)
