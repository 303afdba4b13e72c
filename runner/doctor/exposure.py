"""Exposure of the tracking server: whether more than this host reaches it, and then reads it without login or TLS."""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from runner import failures
from runner.doctor.finding import Finding, note, ok
from runner.redaction import credentials

SERVER = "server"
READ = "/api/2.0/mlflow/experiments/search?max_results=1"
PATIENCE_S = 3.0
OUTSIDE = ("192.0.2.1", 9)
"""An address of documentation (RFC 5737). Nothing is sent there."""
INVALID_HOST = b"Invalid Host header"
PAGE = "docs/server.md"


def findings() -> Iterator[Finding]:
    """Yields a finding if the store is an MLflow server that other hosts reach."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        return
    try:
        base = _exposed_at(urlsplit(uri))
        if base is not None:
            yield _finding(base, _status_without_login(base))
    except (OSError, ValueError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        reason = credentials.masked(failures.reason(cause) if isinstance(cause, Exception) else str(cause), uri)
        name = credentials.masked_uri(uri).rstrip("/")
        yield note(SERVER, f"{name} does not answer ({reason}): whether it asks for a login is unknown")


def _finding(base: str, status: int) -> Finding:
    faults = []
    if status == http.client.OK:
        faults.append("other hosts can read it without a login")
    elif status not in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
        answer = f"status {status}" if status else "it answers with a page, not as MLflow"
        faults.append(f"whether it asks for a login is unknown ({answer})")
    if base.startswith("http://"):
        faults.append("it has no TLS, so that logins and results can be read on their way")
    elif _is_unverified():
        faults.append("its certificate is not verified (MLFLOW_TRACKING_INSECURE_TLS)")
    if faults:
        return note(SERVER, f"{base}: {'; '.join(faults)}", f"{PAGE} says what to read before it is exposed")
    return ok(SERVER, f"{base} asks for a login and has TLS")


def _exposed_at(parts: SplitResult) -> str | None:
    """Returns the address at which other hosts reach the server, None if only this host does. Raises OSError."""
    found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    if not all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found):
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")
    own = _own_address()
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    if own is None or not _listens(own, port):
        return None
    return parts._replace(netloc=f"{own}:{port}", query="", fragment="").geturl().rstrip("/")


def _own_address() -> str | None:
    """Returns the address at which other hosts reach this one, None without a network."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(OUTSIDE)
            return str(probe.getsockname()[0])
    except OSError:
        return None


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), PATIENCE_S).close()
    except OSError:
        return False
    return True


def _status_without_login(base: str) -> int:
    """Returns the status of a read without a login; 0 for a page in place of MLflow's answer, such as a login page.

    A server that refuses the name is asked again by the name that every server accepts: a client may send any name, so
    the refusal is no login. Raises OSError, ValueError and HTTPException.
    """
    for headers in ({}, {"Host": "localhost"}):
        request = urllib.request.Request(f"{base}{READ}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S, context=_context(base)) as answer:
                is_object = answer.headers.get_content_type() == "application/json"
                return int(answer.status) if is_object else 0
        except urllib.error.HTTPError as error:
            with error:
                if headers or INVALID_HOST not in error.read(len(INVALID_HOST)):
                    return error.code
    return 0


def _context(base: str) -> ssl.SSLContext | None:
    if base.startswith("http://"):
        return None
    if _is_unverified():
        return ssl._create_unverified_context()
    return ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None)


def _is_unverified() -> bool:
    return os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
