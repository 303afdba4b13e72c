"""Check of a store behind an MLflow server."""

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
from runner.store.look import artifactroot, httplook, refusals, seen
from runner.store.look.seen import DEFAULT_ID, OWNER_TAGS, Away, Experiment, RunningRun, StoredRun
from runner.store.session_run import OWNER_TAG, PROJECT, SOURCE_TAG

if TYPE_CHECKING:
    from requests import Response

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
TRANSIENT = (408, 425, 429, 502, 503, 504)
MESSAGE_LENGTH = 100
ANSWERED = 20
"""Experiments or runs of one answer, which must be smaller than `httplook.LARGEST_ANSWER`."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
OTHER_LOGIN = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
"""Variables of login methods that require MLflow. Such a server is not checked."""


def is_server(uri: str) -> bool:
    """Returns whether the URI is that of a server that can be checked."""
    return uri.startswith(("http://", "https://")) and not any(map(os.environ.get, OTHER_LOGIN))


class Server:
    """Backend of an MLflow server. See `seen.Backend`."""

    def __init__(self, uri: str) -> None:
        self._uri, self._public_uri = uri, address.masked_uri(uri)

    def by_id(self, experiment_id: str) -> Experiment | None:
        return self._experiment("get", experiment_id=experiment_id)

    def by_name(self, name: str) -> Experiment | None:
        return self._experiment("get-by-name", experiment_name=name)

    def run(self, run_id: str) -> StoredRun | None:
        run = self._answer(f"{API}/runs/get", "run", {"run_id": run_id})
        if run is None:
            return None
        return StoredRun(run_id, run["info"]["lifecycle_stage"] != "active", run["info"]["artifact_uri"])

    def running(self) -> list[RunningRun]:
        """Returns the runs that are RUNNING and name an owner or this project, the oldest first."""
        experiments = self._found("experiments", {"view_type": "ACTIVE_ONLY"})
        ids = [str(each["experiment_id"]) for each in experiments]
        rows = []
        for clause in (f"tags.`{OWNER_TAG}` LIKE '%'", f"tags.`{SOURCE_TAG}` = '{PROJECT}'"):
            query = f"attributes.status = 'RUNNING' AND {clause}"
            for run in self._found("runs", {"experiment_ids": ids, "filter": query}):
                info, tags = run["info"], run["data"].get("tags", ())
                start = int(info.get("start_time", 0))
                rows += [(info["run_id"], start, tag["key"], tag["value"]) for tag in tags if tag["key"] in OWNER_TAGS]
        return seen.running_runs(rows)

    def default_root(self) -> str | None:
        default = self.by_id(DEFAULT_ID)  # the server's options determine its root, too
        return None if default is None else default.root

    def check_root(self, root: str) -> None:
        if artifactroot.is_proxied(root):
            self._check_proxy(root)
        elif (folder := artifactroot.path_of(root)) is not None:
            self._check_shared(folder)
        artifactroot.check_packages(root)

    def _experiment(self, endpoint: str, **query: str) -> Experiment | None:
        experiment = self._answer(f"{API}/experiments/{endpoint}", "experiment", query)
        if experiment is None:
            return None
        is_deleted = experiment["lifecycle_stage"] != "active"
        return Experiment(experiment["experiment_id"], experiment["name"], is_deleted, experiment["artifact_location"])

    def _check_proxy(self, root: str) -> None:
        """Raises StoreUnreachable for a server that transfers no artifacts, as its status 503 and message say."""
        answer = httplook.get(self._uri, ARTIFACTS, {"path": urlsplit(root).path.strip("/")})
        if answer.status_code == 503 and "serve-artifacts" in answer.text:
            raise StoreUnreachable(
                f"the MLflow server {self._public_uri} keeps artifacts at {root} but runs with --no-serve-artifacts "
                "and accepts none: start it without that option (--serve-artifacts)"
            )

    def _check_shared(self, folder: Path) -> None:
        """Raises StoreUnreachable for a path on the server's host, unless that is this host and the folder is writable.

        A write to the path would otherwise fill a folder of the same name on this host.
        """
        if urlsplit(self._uri).hostname in LOOPBACK and folder.is_dir() and os.access(folder, os.W_OK):
            return
        raise StoreUnreachable(
            f"the MLflow server {self._public_uri} keeps artifacts at {folder}, a path of the server that cannot be "
            "written from here: start it with --serve-artifacts and --artifacts-destination in place of "
            "--default-artifact-root, and set MLFLOW_EXPERIMENT_NAME to a new name (an experiment keeps its "
            "first artifact root)"
        )

    def _found(self, kind: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Returns all that a search of experiments or runs finds."""
        found: list[dict[str, Any]] = []
        page: dict[str, str] = {}
        while True:
            answer = httplook.post(self._uri, f"{API}/{kind}/search", {**query, **page, "max_results": ANSWERED})
            content = _object(answer)
            if answer.status_code != 200:
                raise self._refusal(answer.status_code, content.get("error_code"), _message(answer, content))
            found += content.get(kind, ())
            if not (token := content.get("next_page_token")):
                return found
            page = {"page_token": token}

    def _answer(self, path: str, key: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        """Returns the object `key` of the response, None if the server does not have it."""
        answer = httplook.get(self._uri, path, query)
        content = _object(answer)
        if answer.status_code == 200 and isinstance(content.get(key), dict):
            return dict(content[key])
        if content.get("error_code") in UNKNOWN:
            return None
        raise self._refusal(answer.status_code, content.get("error_code"), _message(answer, content))

    def _refusal(self, code: int, error_code: str | None, message: str) -> StoreUnreachable:
        refusal = f"{code} {message}".strip()
        if code == 401 or (code == 403 and error_code):
            return StoreUnreachable(
                f"the MLflow server {self._public_uri} refused the login ({refusal}): set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            )
        if refusals.INVALID_HOST in message:
            advice = refusals.REMEDIES[refusals.INVALID_HOST]
            return StoreUnreachable(f"the MLflow server {self._public_uri} refuses this address ({refusal}): {advice}")
        if code in TRANSIENT:
            return Away(
                f"the MLflow server {self._public_uri} does not answer ({refusal}): start it or set MLFLOW_TRACKING_URI"
            )
        if error_code:
            return StoreUnreachable(f"the MLflow server {self._public_uri} fails ({refusal}): see the cause in its log")
        return StoreUnreachable(
            f"{self._public_uri} does not answer as an MLflow server does ({refusal}): set MLFLOW_TRACKING_URI to the "
            "address of one, without a path after the port unless the server has one"
        )


def _object(answer: Response) -> dict[str, Any]:
    """Returns the response's JSON object, empty if the response is not one."""
    with suppress(ValueError):
        content = jsontext.loads(answer.content)
        if isinstance(content, dict):
            return content
    return {}


def _message(answer: Response, content: Mapping[str, Any]) -> str:
    """Returns the message of MLflow's error or of a plain text, else the status text. Omits pages of HTML."""
    text = str(content.get("message") or "")
    if not text and answer.headers.get("Content-Type", "").startswith("text/plain"):
        text = answer.text
    return textwrap.shorten(text, MESSAGE_LENGTH, placeholder=" …") or str(answer.reason or "")
