"""A look at a store behind an MLflow server."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runner.errors import StoreUnreachable
from runner.files import jsontext
from runner.store import address
from runner.store.look import artifactroot, httplook
from runner.store.look.seen import Away, Experiment, SeenRun

if TYPE_CHECKING:
    from requests import Response

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
MLFLOWS_OWN = "0"
"""Id of the experiment that every store has."""
UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
TRANSIENT = (408, 425, 429, 502, 503, 504)
WORDS_LENGTH = 100
LOOPBACK = ("localhost", "127.0.0.1", "::1")
OTHER_LOGIN = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
"""Ways to log in that need MLflow itself: such a server is not looked at."""


def is_server(uri: str) -> bool:
    """Is it the URI of a server that can be looked at?"""
    return uri.startswith(("http://", "https://")) and not any(map(os.environ.get, OTHER_LOGIN))


class Server:
    """See `seen.Backend`."""

    def __init__(self, uri: str) -> None:
        self._uri, self._shown = uri, address.shown(uri)

    def by_id(self, experiment_id: str) -> Experiment | None:
        return self._experiment("get", experiment_id=experiment_id)

    def by_name(self, name: str) -> Experiment | None:
        return self._experiment("get-by-name", experiment_name=name)

    def run(self, run_id: str) -> SeenRun | None:
        found = self._answer(f"{API}/runs/get", "run", {"run_id": run_id})
        if found is None:
            return None
        return SeenRun(run_id, found["info"]["lifecycle_stage"] != "active", found["info"]["artifact_uri"])

    def usual_root(self) -> str | None:
        found = self.by_id(MLFLOWS_OWN)  # which has its place from the server's options, too
        return None if found is None else found.root

    def check_root(self, root: str) -> None:
        if artifactroot.is_proxied(root):
            self._check_proxy(root)
        elif (folder := artifactroot.path_of(root)) is not None:
            self._check_shared(folder)
        artifactroot.check_packages(root)

    def _experiment(self, endpoint: str, **query: str) -> Experiment | None:
        found = self._answer(f"{API}/experiments/{endpoint}", "experiment", query)
        if found is None:
            return None
        is_deleted = found["lifecycle_stage"] != "active"
        return Experiment(found["experiment_id"], found["name"], is_deleted, found["artifact_location"])

    def _check_proxy(self, root: str) -> None:
        """A server that passes no artifacts on says so, with a status that is else a passing one."""
        answer = httplook.get(self._uri, ARTIFACTS, {"path": urlsplit(root).path.strip("/")})
        if answer.status_code == 503 and "serve-artifacts" in answer.text:
            raise StoreUnreachable(
                f"the MLflow server {self._shown} keeps artifacts at {root} but runs with --no-serve-artifacts and "
                "takes none: start it without that option (--serve-artifacts)"
            )

    def _check_shared(self, folder: Path) -> None:
        """A path is the server's own: to write there would fill a folder of the same name on this machine. Only of a
        server on this machine, with the folder here, it is the same one."""
        if urlsplit(self._uri).hostname in LOOPBACK and folder.is_dir() and os.access(folder, os.W_OK):
            return
        raise StoreUnreachable(
            f"the MLflow server {self._shown} keeps artifacts at {folder}, a path of the server that cannot be written "
            "from here: start it with --serve-artifacts and --artifacts-destination in place of "
            "--default-artifact-root, and set MLFLOW_EXPERIMENT_NAME to a new name (an experiment keeps the place it "
            "was made with)"
        )

    def _answer(self, path: str, key: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        """Returns what the server says of the key; None where it has no such thing."""
        answer = httplook.get(self._uri, path, query)
        found = _object(answer)
        if answer.status_code == 200 and isinstance(found.get(key), dict):
            return dict(found[key])
        if found.get("error_code") in UNKNOWN:
            return None
        raise self._refusal(answer.status_code, found.get("error_code"), _words(answer, found))

    def _refusal(self, code: int, error_code: str | None, words: str) -> StoreUnreachable:
        told = f"{code} {words}".strip()
        if code == 401 or (code == 403 and error_code):
            return StoreUnreachable(
                f"the MLflow server {self._shown} does not let us in ({told}): set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            )
        if code in TRANSIENT:
            return Away(
                f"the MLflow server {self._shown} does not answer ({told}): start it or set MLFLOW_TRACKING_URI"
            )
        if error_code:
            return StoreUnreachable(f"the MLflow server {self._shown} fails ({told}): its own log says why")
        return StoreUnreachable(
            f"{self._shown} does not answer as an MLflow server does ({told}): set MLFLOW_TRACKING_URI to the address "
            "of one, without a path after the port unless the server has it"
        )


def _object(answer: Response) -> dict[str, Any]:
    """The answer's JSON object; empty where it is none."""
    with suppress(ValueError):
        found = jsontext.loads(answer.content)
        if isinstance(found, dict):
            return found
    return {}


def _words(answer: Response, found: Mapping[str, Any]) -> str:
    """The server's own, of plain text or an error of MLflow's; a page of HTML has too many."""
    text = str(found.get("message") or "")
    if not text and answer.headers.get("Content-Type", "").startswith("text/plain"):
        text = answer.text
    return textwrap.shorten(text, WORDS_LENGTH, placeholder=" …") or str(answer.reason or "")
