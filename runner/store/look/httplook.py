"""Requests to an MLflow server without MLflow: with the credentials it would send, and an answer within seconds."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runner.errors import StoreUnreachable
from runner.store import address
from runner.store.look.seen import Away

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import Response

TIMEOUT_S = 10.0
LARGEST_ANSWER = 1 << 20
CHUNK = 1 << 16
CHANGES_METHOD = (301, 302, 303)
"""Redirects after which a POST, with which MLflow writes, becomes a GET."""


def get(base: str, path: str, query: Mapping[str, str]) -> Response:
    """The answer, whatever its status. Raises Away where none comes, StoreUnreachable where another place answers or
    something that speaks no HTTP, and `requests.RequestException` for what cannot be asked at all."""
    import requests

    shown = address.shown(base)
    try:
        answer = _asked(f"{base.rstrip('/')}{path}", query)
    except requests.exceptions.SSLError as error:
        raise StoreUnreachable(
            f"the MLflow server {shown} cannot be trusted or speaks no TLS ({_root(error)}): use http://, or name its "
            "certificate in MLFLOW_TRACKING_SERVER_CERT_PATH"
        ) from error
    except (requests.exceptions.Timeout, requests.exceptions.ConnectionError) as error:
        if "BadStatusLine" in repr(error) or "HTTPException" in repr(error):
            raise StoreUnreachable(
                f"{shown} is no MLflow server (what answers speaks no HTTP): set MLFLOW_TRACKING_URI to the address of "
                "one"
            ) from error
        raise Away(
            f"the MLflow server {shown} does not answer ({_root(error)}): start it or set MLFLOW_TRACKING_URI"
        ) from error
    _check_place(answer, shown)
    return answer


def _asked(url: str, query: Mapping[str, str]) -> Response:
    import requests

    deadline = time.monotonic() + TIMEOUT_S
    with requests.Session() as session:
        answer = session.get(
            url,
            params=dict(query),
            headers=_login(),
            timeout=_timeout_s(),
            verify=_verified(),
            cert=os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH") or None,
            stream=True,
        )
        answer._content = _body(answer, deadline)
    return answer


def _body(answer: Response, deadline: float) -> bytes:
    """No more than an answer of MLflow's has, however slowly it comes."""
    from requests.exceptions import Timeout

    found = b""
    for chunk in answer.iter_content(CHUNK):
        found += chunk
        if time.monotonic() > deadline:
            raise Timeout("its answer does not end")
        if len(found) > LARGEST_ANSWER:
            break
    return found


def _check_place(answer: Response, shown: str) -> None:
    """Raises StoreUnreachable where what is written would be lost on the way."""
    if any(step.status_code in CHANGES_METHOD for step in answer.history):
        found = urlsplit(answer.url)
        raise StoreUnreachable(
            f"{shown} is no MLflow server but sends on to {found.scheme}://{found.netloc.rpartition('@')[2]}: set "
            "MLFLOW_TRACKING_URI to the address of the MLflow server itself"
        )


def _timeout_s() -> float:
    """The user's own, where it is shorter."""
    try:
        return min(float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT") or TIMEOUT_S), TIMEOUT_S)
    except ValueError:
        return TIMEOUT_S


def _verified() -> bool | str:
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        return False
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True


def _login() -> dict[str, str]:
    """As MLflow: a user and password, from the environment or ~/.mlflow/credentials, go before a token."""
    from requests.auth import _basic_auth_str

    kept = _credentials()
    user, password = (
        os.environ.get(name) or kept.get(name.lower())
        for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    )
    headers = {}
    if user and password:
        headers["Authorization"] = _basic_auth_str(user.encode(), password.encode())
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    if workspace := os.environ.get("MLFLOW_WORKSPACE"):
        headers["X-MLFLOW-WORKSPACE"] = workspace
    return headers


def _credentials() -> Mapping[str, str]:
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read(Path("~/.mlflow/credentials").expanduser())
    except (configparser.Error, RuntimeError, OSError, UnicodeDecodeError):
        return {}
    return dict(parser.items("mlflow")) if parser.has_section("mlflow") else {}


def _root(error: BaseException) -> str:
    """The innermost words of requests' and urllib3's wrappings, without the object's address."""
    following: BaseException | None = error
    while following is not None:
        error, following = following, following.__cause__ or following.__context__
    return str(error).rpartition(">: ")[2] or type(error).__name__
