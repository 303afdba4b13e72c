"""The refusals of the look at a store, and servers that answer everything alike."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runner import store
from runner.errors import DecodeFloorError, StoreUnreachable
from runner.store.look import seen


def refusal(run_id: str | None = None, kind: type[DecodeFloorError] = StoreUnreachable) -> str:
    """Returns the line with which the look refuses the store of the environment."""
    with pytest.raises(kind) as caught:
        store.before_measuring(run_id)
    assert not isinstance(caught.value, seen.Away)
    return str(caught.value)


@contextmanager
def answering(status: int, body: str = "", **headers: str) -> Iterator[str]:
    """The URI of a server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
