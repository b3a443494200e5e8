"""The HTTP side of Airflow's REST API: the login, a timeout on every call, and errors that say what to do."""

from __future__ import annotations

import time
from typing import Any

import httpx

from slipstream.errors import SlipstreamError

_TIMEOUT = 30.0
_BODY_SHOWN = 400
_SAFE = {"PATCH", "DELETE"}
"""Requests that may be made twice, for what they ask for is a state; who only looks looks again anyway."""
_PAUSES = (1.0, 2.0, 4.0)


class AirflowError(SlipstreamError):
    """Airflow refused a request, did not answer, or took longer than it was given."""

    code = "airflow_request_failed"

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Session:
    """A session of one user with one Airflow; the token is fetched at the first call and again when it has expired.

    Args:
        url: Base URL of the api-server, with its path prefix if it has one.
        user: Name of the user.
        password: Password of the user.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._login = {"username": user, "password": password}
        # Airflow runs on this machine or in this network: proxies of the environment would only break it.
        self._http = httpx.Client(
            base_url=self.url, timeout=_TIMEOUT, trust_env=False, transport=httpx.HTTPTransport(retries=3)
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, method: str, path: str, *, login: bool = True, **kwargs: Any) -> httpx.Response:
        """The answer to a request.

        Raises:
            AirflowError: If Airflow refuses it or does not answer.
        """
        if login and "Authorization" not in self._http.headers:
            self._authorize()
        response = self._request(method, path, **kwargs)
        if response.status_code == httpx.codes.UNAUTHORIZED and login:  # the token has expired
            self._authorize()
            response = self._request(method, path, **kwargs)
        for pause in _PAUSES if method in _SAFE else ():
            if response.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                break
            # A busy database, above all SQLite's, lets a request wait only so long.
            time.sleep(pause)
            response = self._request(method, path, **kwargs)
        return _checked(response)

    def _authorize(self) -> None:
        response = self._request("POST", "/auth/token", json=self._login)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise AirflowError(f"{self.url}: user {self._login['username']} or its password is wrong", status=401)
        self._http.headers["Authorization"] = f"Bearer {_checked(response).json()['access_token']}"

    def _request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **kwargs)
        except httpx.TimeoutException as error:
            raise AirflowError(
                f"{method} {self.url}{path}: no answer in {_TIMEOUT:.0f} s; is it overloaded?"
            ) from error
        except httpx.TransportError as error:
            raise AirflowError(f"{method} {self.url}{path}: {error}; does it run? (make up)") from error


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    request = response.request
    body = response.text[:_BODY_SHOWN]
    raise AirflowError(f"{request.method} {request.url}: {response.status_code} {body}", status=response.status_code)
