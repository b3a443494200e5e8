"""A real S3 server (moto), one request at a time: else moto lets two writers create the same object."""

from __future__ import annotations

import sys
import threading
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

_moto, _turn = DomainDispatcherApplication(create_backend_app), threading.Lock()


def in_turn(environ: Any, start_response: Any) -> Any:
    with _turn:
        return _moto(environ, start_response)


if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), in_turn, threaded=True).serve_forever()
