"""Proxies in front of a real MLflow server: one that refuses requests, and one that loses answers."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def _passes(_path: str, _body: Any) -> str | None:
    return None


def _arrives(_path: str) -> bool:
    return False


@contextmanager
def proxied(
    server: str, refusal: Callable[[str, Any], str | None] = _passes, is_lost: Callable[[str], bool] = _arrives
) -> Iterator[str]:
    """The URI of a proxy. `refusal` says why it refuses a path with a body of JSON, and `is_lost` whether the answer of
    a path is lost, although the server has done what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            is_json = self.headers.get("Content-Type", "").startswith("application/json")
            if wrong := refusal(path, json.loads(body) if is_json and body else None):
                text = json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": wrong})
                self._answer(400, "application/json", text.encode())
                return
            headers = {name: value for name, value in self.headers.items() if name != "Host"}
            asked = urllib.request.Request(f"{server}{self.path}", body or None, headers, method=self.command)
            try:
                with urllib.request.urlopen(asked) as found:
                    answer = found.status, found.headers.get("Content-Type", ""), found.read()
            except urllib.error.HTTPError as error:
                answer = error.code, error.headers.get("Content-Type", ""), error.read()
            if not is_lost(path):
                self._answer(*answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
