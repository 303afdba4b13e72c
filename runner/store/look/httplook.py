"""Requests to an MLflow server without MLflow: with the same credentials and with a timeout of seconds."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
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
"""Redirects that turn a POST into a GET, which breaks MLflow's writes."""


def get(base: str, path: str, query: Mapping[str, str]) -> Response:
    """Returns the response to a GET, see `_response`."""
    return _response(base, "GET", path, {"params": dict(query)})


def post(base: str, path: str, content: Mapping[str, Any]) -> Response:
    """Returns the response to a POST of a JSON object, see `_response`."""
    return _response(base, "POST", path, {"json": dict(content)})


def _response(base: str, method: str, path: str, content: Mapping[str, Any]) -> Response:
    """Returns the response, of any status.

    Raises Away without a response, StoreUnreachable for a redirect to another place, a TLS error or a response that is
    not HTTP, and `requests.RequestException` for an invalid request.
    """
    import requests

    public_uri = address.masked_uri(base)
    try:
        answer = _request(method, f"{base.rstrip('/')}{path}", content)
    except requests.exceptions.SSLError as error:
        raise StoreUnreachable(
            f"the MLflow server {public_uri} is not trusted or has no TLS ({_root(error)}): use http://, or name its "
            "certificate in MLFLOW_TRACKING_SERVER_CERT_PATH"
        ) from error
    except (requests.exceptions.Timeout, requests.exceptions.ConnectionError) as error:
        if "BadStatusLine" in repr(error) or "HTTPException" in repr(error):
            raise StoreUnreachable(
                f"{public_uri} is not an MLflow server (its response is not HTTP): set MLFLOW_TRACKING_URI to the "
                "address of one"
            ) from error
        raise Away(
            f"the MLflow server {public_uri} does not answer ({_root(error)}): start it or set MLFLOW_TRACKING_URI"
        ) from error
    _check_redirects(answer, public_uri)
    return answer


def _request(method: str, url: str, content: Mapping[str, Any]) -> Response:
    import requests

    deadline = time.monotonic() + TIMEOUT_S
    with requests.Session() as session:
        answer = session.request(
            method,
            url,
            **content,
            headers=_login(),
            timeout=_timeout_s(),
            verify=_verification(),
            cert=os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH") or None,
            stream=True,
        )
        answer._content = _body(answer, deadline)
    return answer


def _body(answer: Response, deadline: float) -> bytes:
    """Returns at most about LARGEST_ANSWER bytes. Raises Timeout after the deadline."""
    from requests.exceptions import Timeout

    body = b""
    for chunk in answer.iter_content(CHUNK):
        body += chunk
        if time.monotonic() > deadline:
            raise Timeout("its response does not end")
        if len(body) > LARGEST_ANSWER:
            break
    return body


def _check_redirects(answer: Response, public_uri: str) -> None:
    """Raises StoreUnreachable for a redirect that drops the content of a write."""
    if any(step.status_code in CHANGES_METHOD for step in answer.history):
        target = urlsplit(answer.url)
        raise StoreUnreachable(
            f"{public_uri} is not an MLflow server: it redirects to {target.scheme}://"
            f"{target.netloc.rpartition('@')[2]}: set MLFLOW_TRACKING_URI to the address of the MLflow server itself"
        )


def _timeout_s() -> float:
    """Returns TIMEOUT_S, or the user's timeout if it is shorter."""
    try:
        return min(float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT") or TIMEOUT_S), TIMEOUT_S)
    except ValueError:
        return TIMEOUT_S


def _verification() -> bool | str:
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        return False
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True


def _login() -> dict[str, str]:
    """Returns the headers of MLflow's login: user and password take precedence over a token.

    User and password are read from the environment, then from ~/.mlflow/credentials.
    """
    from requests.auth import _basic_auth_str

    stored = _stored_credentials()
    user, password = (
        os.environ.get(name) or stored.get(name.lower())
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


def _stored_credentials() -> Mapping[str, str]:
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read(Path("~/.mlflow/credentials").expanduser())
    except (configparser.Error, RuntimeError, OSError, UnicodeDecodeError):
        return {}
    return dict(parser.items("mlflow")) if parser.has_section("mlflow") else {}


def _root(error: BaseException) -> str:
    """Returns the message of the innermost exception, without the address of urllib3's object."""
    link: BaseException | None = error
    while link is not None:
        error, link = link, link.__cause__ or link.__context__
    return str(error).rpartition(">: ")[2] or type(error).__name__
