"""Passwords and tokens through commit, import and tables of stores that refuse them: no message, tag or log has one."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from mlflow import MlflowClient

from analysis.__main__ import main as analysis_main
from runner import store
from runner.__main__ import main as runner_main
from runner.errors import DecodeFloorError
from runner.processes import signals
from runner.record import record
from runner.store.entry import EntryRun
from tests.support.derive import typed
from tests.support.records import example_record

PASSWORD = "Lösung/qxmit@qxund:qxzu?qxviel#100%q +x"
PIECES = ("sung", "qxmit", "qxund", "qxzu", "qxviel", "100%q", "L%C3", "Lö")


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that run in this process leave its handlers alone."""
    monkeypatch.setattr(signals, "install", lambda: None)
    monkeypatch.setattr(signals, "ignore", lambda: None)


def _is_clean(text: str) -> bool:
    spelled = (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), quote_plus(PASSWORD), repr(PASSWORD)[1:-1], *PIECES)
    return not [each for each in spelled if each.lower() in text.lower()]


class Refusing(BaseHTTPRequestHandler):
    """As a proxy in front of a server: it repeats the credentials that it does not take."""

    def do_GET(self) -> None:
        said = f"not for {self.headers.get('Authorization')} at {self.path}: {PASSWORD}".encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    """Host and port of a server that answers 401 to everything."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["http", "http, as it was typed", "http token", "postgresql", "postgresql query", "raw slash"])
def refused_uri(request: pytest.FixtureRequest, refusing: str) -> str:
    """A store whose credentials, all of them `PASSWORD`, are wrong."""
    encoded = quote(PASSWORD, safe="")
    if request.param.startswith("http"):
        return {
            "http": f"http://tester:{encoded}@{refusing}",
            "http, as it was typed": f"http://tester:{PASSWORD}@{refusing}",
            "http token": f"http://{encoded}@{refusing}/?access_token={encoded}",
        }[str(request.param)]
    place = str(request.getfixturevalue("postgresql_uri")).rpartition("@")[2]
    return {
        "postgresql": f"postgresql://tester:{encoded}@{place}",
        "postgresql query": f"postgresql://tester@{place}?password={encoded}&sslmode=disable",
        "raw slash": f"postgresql://tester:{PASSWORD.replace('@', '/')}@{place}",
    }[str(request.param)]


@pytest.mark.medium
def test_no_secret_is_in_what_is_said_of_a_store_that_refuses(
    refused_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", refused_uri)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DECODE_FLOOR_TRACEBACK", "1")
    caplog.set_level(logging.DEBUG)
    spooled = tmp_path / "spool" / "session.json"
    record.write(example_record(), spooled)
    with pytest.raises(DecodeFloorError) as caught:
        store.commit(typed(record.read(spooled)), None, spooled)
    assert "tester" in str(caught.value) or "***@" in str(caught.value)
    assert _is_clean(str(caught.value))
    assert runner_main(["import", "spool"]) in (11, 21)
    for arguments in (["floor"], ["floor", "--store", refused_uri], ["floor", refused_uri]):
        monkeypatch.setattr(sys, "argv", ["analysis", *arguments])
        assert analysis_main(arguments) != 0
    out, err = capfd.readouterr()
    assert "***" in err
    assert _is_clean(out + err)
    assert _is_clean(
        "".join(line.getMessage() for line in caplog.records if line.name.startswith(("runner", "mlflow")))
    )
    assert _is_clean(" ".join(os.fsdecode(each) for each in tmp_path.rglob("*")))


@pytest.mark.medium
def test_no_secret_is_in_the_tags_of_a_run_that_failed(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@proxy:3128")
    run_id = MlflowClient(sqlite_uri).create_run("0").info.run_id
    EntryRun(run_id).fail(DecodeFloorError(f"hub refused {PASSWORD} ({quote(PASSWORD)}) by http://a:{PASSWORD}@b/c"))
    assert _is_clean(str(MlflowClient(sqlite_uri).get_run(run_id).data.tags))
