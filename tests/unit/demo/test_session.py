"""The client of Airflow's REST API, against a server that is busy at first."""

from __future__ import annotations

from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from demo.airflow_client.session import AirflowError, Session

asked: Counter[str] = Counter()


class Busy(BaseHTTPRequestHandler):
    """Answers the second request for a path; to others its database is busy."""

    def answer(self) -> None:
        asked[f"{self.command} {self.path}"] += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        good = self.path == "/auth/token" or asked[f"{self.command} {self.path}"] > 1
        body = b'{"access_token": "t"}' if good else b'{"detail": {"reason": "Database error"}}'
        self.send_response(200 if good else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PATCH = do_POST = answer

    def log_message(self, *_: object) -> None:
        """Nothing is written."""


def test_a_busy_database_is_asked_again_where_asking_twice_is_the_same() -> None:
    server = HTTPServer(("127.0.0.1", 0), Busy)
    Thread(target=server.serve_forever, daemon=True).start()
    session = Session(f"http://127.0.0.1:{server.server_port}", "admin", "admin")
    try:
        assert session.send("PATCH", "/dags/one", json={"is_paused": False}).is_success
        assert asked["PATCH /dags/one"] == 2
        with pytest.raises(AirflowError, match="Database error"):
            session.send("POST", "/dags/one/dagRuns", json={})
        assert asked["POST /dags/one/dagRuns"] == 1
    finally:
        session.close()
        server.shutdown()
        server.server_close()
