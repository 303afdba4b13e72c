"""An exposed tracking server: the real MLflow on all interfaces, and small servers with logins, pages and TLS."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from runner.doctor import examination, exposure
from runner.doctor.finding import NOTE, OK, Finding
from tests.support.stores import served

REMEDY = "docs/server.md says what to read before it is exposed"
NO_TLS = "it has no TLS, so that logins and results can be read on their way"


@contextmanager
def answering(status: int, kind: str, text: str, tls: Path | None = None) -> Iterator[int]:
    """A server with one answer for every name but localhost, which gets a JSON object; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_local = self.headers["Host"] == "localhost"
            body = b"{}" if is_local else text.encode()
            self.send_response(200 if is_local else status)
            self.send_header("Content-Type", "application/json" if is_local else kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> object:
    """Returns the findings on a URI. The tests' servers pass for those of other hosts."""

    def find(uri: str) -> list[Finding]:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setattr(exposure, "_exposed_at", lambda parts: f"{parts.scheme}://{parts.netloc.split('@')[-1]}")
        return [*exposure.findings()]

    return find


@pytest.mark.parametrize(
    "uri", ["", "sqlite:///mlflow.db", "postgresql://db/mlflow", "http://127.0.0.1:9", "http://localhost:9"]
)
def test_a_store_of_this_host_alone_is_not_exposed(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert [*exposure.findings()] == []


@pytest.mark.parametrize(
    ("status", "kind", "text", "said"),
    [
        (200, "application/json", "{}", "other hosts can read it without a login; "),
        (403, "text/plain", "Invalid Host header - possible …", "other hosts can read it without a login; "),
        (401, "text/html", "Who are you?", ""),
        (403, "application/json", '{"error_code": "PERMISSION_DENIED"}', ""),
        (
            200,
            "text/html",
            "<form>log in</form>",
            "whether it asks for a login is unknown (it answers with a page, not as MLflow); ",
        ),
        (500, "text/html", "broken", "whether it asks for a login is unknown (status 500); "),
    ],
)
def test_a_login_is_found_out_by_a_read_without_one(found, status: int, kind: str, text: str, said: str) -> None:
    with answering(status, kind, text) as port:
        base = f"http://127.0.0.1:{port}"
        assert found(base.replace("//", "//me:secret@")) == [Finding("server", NOTE, f"{base}: {said}{NO_TLS}", REMEDY)]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    file = tmp_path / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    subprocess.run([*command, *names], check=True, capture_output=True)
    file.write_text((tmp_path / "key").read_text() + (tmp_path / "cert").read_text())
    return file


@pytest.mark.medium
def test_tls_is_believed_if_its_certificate_is(found, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(401, "text/plain", "", certificate) as port:
        base = f"https://127.0.0.1:{port}"
        (stranger,) = found(base)
        assert (stranger.state, "certificate verify failed" in stranger.finding) == (NOTE, True)
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
        assert found(base) == [Finding("server", OK, f"{base} asks for a login and has TLS")]
        monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
        assert found(base)[0].finding == f"{base}: its certificate is not verified (MLFLOW_TRACKING_INSECURE_TLS)"


@pytest.mark.parametrize(
    ("uri", "cause"),
    [
        ("http://me:secret@nowhere.invalid:5000", "http://me:***@nowhere.invalid:5000 does not answer ("),
        ("http://[::1", "http://[::1 does not answer (Invalid IPv6 URL)"),
        ("https://nowhere.invalid:123456", "https://nowhere.invalid:123456 does not answer (Port out of range"),
    ],
)
def test_a_server_that_cannot_be_asked_is_said(monkeypatch: pytest.MonkeyPatch, uri: str, cause: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (found,) = exposure.findings()
    assert found.state == NOTE
    assert found.finding.startswith(cause)
    assert found.finding.endswith(": whether it asks for a login is unknown")


@pytest.mark.slow
def test_mlflows_own_server_on_all_interfaces_is_exposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its allowed hosts are no login."""
    if (own := exposure._own_address()) is None:
        pytest.skip("hardware: needs a network")
    with served(tmp_path, "--host", "0.0.0.0", "--allowed-hosts", "localhost,127.0.0.1:*") as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        (found,) = [each for each in examination.examine("cpu").findings if each.name == "server"]
    exposed = uri.replace("127.0.0.1", own)
    assert found == Finding("server", NOTE, f"{exposed}: other hosts can read it without a login; {NO_TLS}", REMEDY)
