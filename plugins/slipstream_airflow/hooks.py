"""Where an operator finds its model and its store: the environment, a URL, or an Airflow connection."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from slipstream.errors import StoreError, shown
from slipstream.settings import Settings
from slipstream.spec import loader
from slipstream.spec.model import ModelSpec
from slipstream.store import Store


@dataclasses.dataclass(frozen=True)
class Workplace:
    """What an operator or a trigger works with."""

    spec: ModelSpec
    store: Store
    settings: Settings

    @classmethod
    def of(cls, model: str, store: str | None, models: str | None) -> Workplace:
        """The place of *model*; *store* and *models* as for :func:`settings_of`.

        Raises:
            SpecError, StoreError: there is no such model, it is wrong, or the store cannot be opened.
        """
        settings = settings_of(store, models)
        spec = loader.find_spec(settings.models, model, allow_code=settings.allow_code, pools=settings.pools)
        return cls(spec, Store.open(settings.store), settings)

    @property
    def endpoint(self) -> dict[str, str]:
        """What stages that deploy take by name: the endpoint and its key."""
        return {"endpoint": self.settings.endpoint, "endpoint_key": self.settings.endpoint_key}


def settings_of(store: str | None, models: str | None) -> Settings:
    """The settings of this process, with what the operator was given in their place.

    Args:
        store: URL of the store, or the id of a connection to it; None for ``SLIPSTREAM_STORE``.
        models: Folder of the model projects; None for ``SLIPSTREAM_MODELS``.
    """
    settings = Settings.from_environment()
    if store:
        settings = dataclasses.replace(settings, store=store if "://" in store else connected_store(store))
    if models:
        settings = dataclasses.replace(settings, models=Path(models).absolute())
    return settings


def connected_store(conn_id: str) -> str:
    """The URL of the store that an Airflow connection names; its credentials go to the environment of this process.

    The connection is of type ``aws`` (or any other): extra ``url`` is the store's URL, login and password are the
    access key, extra ``region_name`` and ``endpoint_url`` as the Amazon provider has them. A task has a process of its
    own, so the credentials reach no other task.

    Raises:
        StoreError: ``storage_url_invalid`` if the connection names no URL.
    """
    connection = BaseHook.get_connection(conn_id)
    extra = connection.extra_dejson
    url = str(extra.get("url") or "")
    if "://" not in url:
        message = f"connection {shown(conn_id)}: extra 'url' is {shown(url)}; write file:///... or s3://bucket/prefix."
        raise StoreError(message, code="storage_url_invalid")
    variables = {
        "AWS_ACCESS_KEY_ID": connection.login,
        "AWS_SECRET_ACCESS_KEY": connection.password,
        "AWS_SESSION_TOKEN": extra.get("aws_session_token"),
        "AWS_DEFAULT_REGION": extra.get("region_name"),
        "AWS_ENDPOINT_URL_S3": extra.get("endpoint_url"),
    }
    os.environ.update({name: str(value) for name, value in variables.items() if value})
    return url


def connection_as_json(conn_id: str) -> str:
    """An Airflow connection as JSON, as ``AIRFLOW_CONN_<ID>`` holds it; "" if there is none."""
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return ""
    names = ("conn_type", "login", "password", "host", "port", "schema", "extra")
    return json.dumps({name: getattr(connection, name, None) for name in names})
