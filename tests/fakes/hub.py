"""A hub on 127.0.0.1 that answers as huggingface.co was seen to: its REST paths, headers, redirects and errors.

Only the server is made up; the client that talks to it, huggingface_hub, is the real one (HF_ENDPOINT names us).
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

REPOSITORY = "org/tiny"
COMMIT = "c0ffee" + 34 * "0"
API = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+?)(?:/(?:revision/(?P<rev>[^/]+)|tree/(?P<tree>[^/]+)))?")
FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)")
CDN = "/cdn/"


@dataclass
class Hub:
    """One repository. `token` is what it takes to read it, `granted` whether that account may."""

    files: dict[str, bytes]
    token: str | None = None
    granted: bool = True
    status: int | None = None
    endpoint: str = ""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Authorization) of each request."""

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]

    def refusal(self, repo: str, revision: str | None, authorization: str | None) -> tuple[int, str, str] | None:
        """Status, X-Error-Code and X-Error-Message."""
        if self.status is not None:
            return self.status, "", "out of order"
        if repo != REPOSITORY:
            # the hub does not tell strangers what does not exist from what is private
            return (404 if authorization else 401), "RepoNotFound", "Repository not found"
        if self.token is not None and authorization != f"Bearer {self.token}":
            return 401, "GatedRepo", f"Access to model {repo} is restricted. You must be authenticated to access it."
        if not self.granted:
            return 403, "GatedRepo", f"Access to model {repo} is restricted and you are not in the authorized list."
        if revision not in (None, "main", COMMIT):
            return 404, "RevisionNotFound", f"Invalid rev id: {revision}"
        return None


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, self.headers.get("Authorization")))
        if path.startswith(CDN):
            return self._send(200, self.hub.files[path.removeprefix(CDN)])
        api, file = API.fullmatch(path), FILE.fullmatch(path)
        found = api or file
        if not found:  # the client also asks for things that are no model's
            return self._send(404, b"")
        revision = found["rev"] or (api["tree"] if api else None)
        refused = self.hub.refusal(found["repo"], revision, self.headers.get("Authorization"))
        if refused:
            status, code, message = refused
            return self._send(status, b'{"error": "no"}', {"X-Error-Code": code, "X-Error-Message": message})
        if file:
            return self._file(file["path"])
        return self._send(200, json.dumps(self._tree() if api and api["tree"] else self._info()).encode())

    def _info(self) -> dict[str, object]:
        return {"id": REPOSITORY, "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.hub.files]}

    def _tree(self) -> list[dict[str, object]]:
        return [self._entry(name, content) for name, content in self.hub.files.items()]

    def _entry(self, name: str, content: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": _git_id(content)}
        if _is_large(name):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 135}
        return entry

    def _file(self, name: str) -> None:
        """A small file at once; a large one by a redirect to another host, its size and hash told beforehand."""
        content = self.hub.files[name]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_git_id(content)}"'}
        if not _is_large(name):
            return self._send(200, content, headers)
        linked = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"'}
        # by another name of this host: the client follows redirects to the same one even where it only asks
        location = {"Location": f"{self.hub.endpoint.replace('127.0.0.1', 'localhost')}{CDN}{name}"}
        return self._send(302, b"", headers | linked | location)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin", ".pth"))


def _git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub, answering at `hub.endpoint` until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
