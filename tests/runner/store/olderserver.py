"""An MLflow server as 2.9 was: the real one of today behind a proxy with 2.9's limits, and 2.9 itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.stores import ROOT, free_port, wait_until_healthy

TAG_LENGTH, PARAM_LENGTH, KEY_LENGTH = 5000, 6000, 250
KNOWN = re.compile(
    r"/health|/version|/api/2\.0/mlflow/(runs|experiments|metrics|artifacts)/[a-z-]+|/api/2\.0/mlflow-artifacts/.*"
)
"""The endpoints that 2.9 has of those that we may need."""
PINS = ("mlflow==2.9.2", "sqlalchemy<2.1", "setuptools<81")  # what 2.9 asks for itself lets in newer ones that break it


def too_long(body: Any, key: str = "") -> str | None:
    """What 2.9 refuses of a request: a tag, param or key that is longer than it takes."""
    if isinstance(body, list):
        return next(filter(None, (too_long(each, key) for each in body)), None)
    if not isinstance(body, dict):
        return None
    limit = PARAM_LENGTH if key == "params" else TAG_LENGTH
    value, name = body.get("value"), str(body.get("key", ""))
    if len(name) > KEY_LENGTH or (isinstance(value, str) and len(value) > limit):
        return f"{key} {name} has {len(str(value))} characters"
    return next(filter(None, (too_long(each, inner) for inner, each in body.items())), None)


def refusal(path: str, body: Any) -> str | None:
    """What 2.9 refuses of a request to a path, with a body of JSON or None."""
    return (None if KNOWN.fullmatch(path) else f"no endpoint {path}") or too_long(body)


@contextmanager
def of_2_9(folder: Path) -> Iterator[str]:
    """MLflow 2.9 itself, in an environment of its own below build/, made by the first who asks."""
    python = ROOT / "build" / "mlflow-2.9" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PINS], check=True)
    port = free_port()
    command = [str(python), "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", f"{folder}/artifacts", "--port", str(port), "--workers", "1"]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}", folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # it leaves its web server behind otherwise
        server.wait(timeout=30)
