"""The look at a store before anything is measured: each thing that is wrong is one line, with what to do."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from mlflow import MlflowClient

from analysis.sources.store import Store
from runner import store
from runner.errors import BadRecord, BadValue, DecodeFloorError, MissingPackage, StoreUnreachable
from runner.record import record
from runner.store import address, lock
from runner.store.look import database, httplook, schema, seen
from tests.runner.store import contents
from tests.support.derive import typed
from tests.support.records import example_record
from tests.support.rights import obey_modes, strangers
from tests.support.stores import free_port

OLDER = sorted((Path(__file__).parent / "older").glob("*.sql"))


def refusal(run_id: str | None = None, kind: type[DecodeFloorError] = StoreUnreachable) -> str:
    with pytest.raises(kind) as caught:
        store.before_measuring(run_id)
    assert not isinstance(caught.value, seen.Away)
    return str(caught.value)


@pytest.mark.slow
def test_a_store_that_is_fine_or_not_there_yet_is_told_nothing_of(any_uri: str) -> None:
    assert store.before_measuring(None) is None
    client = MlflowClient(any_uri)
    run = client.create_run(client.create_experiment(address.experiment_name()))
    assert store.before_measuring(run.info.run_id) is None
    client.set_terminated(run.info.run_id)


@pytest.mark.parametrize("is_empty_file", [False, True])
def test_a_store_that_is_not_there_yet_has_neither_that_experiment_nor_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_empty_file: bool
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    if is_empty_file:
        (tmp_path / "mlflow.db").touch()
    assert "has no such run" in refusal("0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    assert "MLFLOW_EXPERIMENT_ID=77" in refusal()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")  # which every store has
    assert store.before_measuring(None) is None


def test_the_look_makes_no_store_and_imports_no_mlflow(tmp_path: Path) -> None:
    code = "import sys; from runner import store; print(store.before_measuring(None), 'mlflow' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[4])}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "None False\n"
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_experiment_is_named_with_the_command_that_restores_it(
    any_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(any_uri)
    experiment_id = client.create_experiment(address.experiment_name())
    client.delete_experiment(experiment_id)
    restore = f"`mlflow experiments restore --experiment-id {experiment_id}`"
    said = refusal()
    assert f"experiment {address.experiment_name()} (id {experiment_id})" in said
    assert f"is deleted: restore it with {restore}, or set MLFLOW_EXPERIMENT_NAME" in said
    assert "cret" not in said
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment_id)
    assert f"{restore}, or unset MLFLOW_EXPERIMENT_ID" in refusal()
    client.restore_experiment(experiment_id)
    assert store.before_measuring(None) is None


@pytest.mark.parametrize("unknown", ["999999", "abc"])
def test_an_experiment_id_that_is_not_there_is_named(
    any_uri: str, unknown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", unknown)
    said = refusal()
    assert said.startswith(f"MLFLOW_EXPERIMENT_ID={unknown}: the MLflow store {address.shown(any_uri)} has no such")


def test_a_run_that_is_not_there_or_deleted_is_named(any_uri: str) -> None:
    client = MlflowClient(any_uri)
    run_id = client.create_run("0").info.run_id
    client.set_terminated(run_id)
    client.delete_run(run_id)
    assert f"is deleted: restore it with `mlflow runs restore --run-id {run_id}`" in refusal(run_id)
    assert "has no such run: unset it" in refusal("0" * 32)
    assert "has no such run" in refusal("' OR 1=1 --")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("ftp://me:secret@host/x", "ftp://me:***@host/x is not the URI of any kind of MLflow store"),
        ("sqllite:///x.db", "did you mean sqlite?"),
        ("postgres://host/db", "did you mean postgresql?"),
        ("htp://localhost:5000", "did you mean http?"),
        ("postgresql:/host/db", "write postgresql://HOST…, with two slashes"),
        (
            "http:/me:secret@localhost:5000",
            "http:… is not the URI of an MLflow store: write http://HOST…, with two slashes",
        ),
        ("sqlite://mlflow.db", "write sqlite:///mlflow.db, with three slashes"),
        ("sqlite:/x/y.db?timeout=5", "write sqlite:////x/y.db?timeout=5, with three slashes"),
        ("sqlite://me:secret@host/x", "write sqlite:///FILE, with three slashes"),
        ("sqlite:x.db", "write sqlite:///x.db, with three slashes"),
        ("SQLite:///x.db", "did you mean sqlite?"),
        (" sqlite:///x.db", "' sqlite:///x.db', has blanks or quotes around it: write sqlite:///x.db"),
        ('"sqlite:///x.db"', "has blanks or quotes around it: write sqlite:///x.db"),
        ("'postgresql://me:secret@host/x'\n", "write postgresql://me:***@host/x"),
        ("sqlite:///~/x y/z.db", "a folder named ~: write sqlite:////home/us%20ers/x%20y/z.db"),
        ("store.db", "is a path, not the URI of an MLflow store"),
        (".", "is a folder, and MLflow no longer writes runs into folders"),
        ("file:///tmp", "or MLFLOW_ALLOW_FILE_STORE=true"),
    ],
)
def test_a_uri_of_no_store_is_refused(uri: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("HOME", "/home/us ers")
    found = refusal(kind=BadValue)
    assert said in found
    assert "secret" not in found
    if "is a folder" not in found:  # which may still be read
        with pytest.raises(BadValue) as read:
            Store(uri).frame(("step_wall_ms",))
        assert str(read.value) == found
    record.write(example_record(), tmp_path / "spool" / "session.json")
    with pytest.raises(BadValue):
        store.import_folder(tmp_path / "spool")


def test_a_folder_that_mlflow_is_told_to_take_is_left_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert store.before_measuring(None) is None


@pytest.mark.parametrize("dump", OLDER, ids=lambda path: path.stem)
def test_an_older_database_is_refused_alike_in_reading_and_writing_and_left_as_it_is(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, uri = tmp_path / "mlflow.db", f"sqlite:///{tmp_path}/mlflow.db"
    with closing(sqlite3.connect(file)) as made:
        made.executescript(dump.read_text())
    before = file.read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    said = refusal()
    assert "of an older MLflow" in said
    assert f"`mlflow db upgrade {uri}`" in said
    with pytest.raises(StoreUnreachable) as written:
        store.commit(typed(example_record()), None)
    with pytest.raises(StoreUnreachable) as read:
        Store(uri).frame(("step_wall_ms",))
    assert str(written.value).startswith(said)
    assert str(read.value) == said
    assert file.read_bytes() == before


def test_a_newer_database_asks_for_its_own_mlflow(sqlite_uri: str) -> None:
    with closing(sqlite3.connect(address.sqlite_file(sqlite_uri) or "")) as made, made:
        made.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
    assert "unknown schema 0123456789ab of another, most likely newer MLflow" in refusal()


def test_a_database_of_something_else_gets_no_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(tmp_path / "places.db")) as made:
        made.execute("CREATE TABLE bookmarks (url TEXT)")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/places.db")
    assert "a database of another program: set MLFLOW_TRACKING_URI" in refusal()
    with pytest.raises(StoreUnreachable, match="a database of another program"):
        store.commit(typed(example_record()), None)


def test_the_schema_that_is_read_off_the_files_is_mlflows_own() -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision
    from mlflow.version import VERSION

    known = schema.installed()
    assert known is not None
    assert (known.version, known.newest) == (VERSION, _get_latest_schema_revision())


@contextmanager
def holding(code: str) -> Iterator[int]:
    """Another program that holds something; its process id."""
    command = [sys.executable, "-c", f"{code}; print('held', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other.pid
        other.kill()


def test_a_database_that_another_program_keeps_locked_names_it(
    sqlite_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(database, "LOCK_WAIT_S", 0.2)
    file = address.sqlite_file(sqlite_uri)
    code = f"import sqlite3; c = sqlite3.connect({str(file)!r}, isolation_level=None); c.execute('BEGIN EXCLUSIVE')"
    record.write(example_record(), tmp_path / "spool" / "session.json")
    with holding(code) as pid:
        said = refusal()
        assert f"is kept locked by process {pid} (python" in said
        assert "wait until it has ended, or end it" in said
        with pytest.raises(StoreUnreachable, match=f"locked by process {pid} .*runner import"):
            store.import_folder(tmp_path / "spool")
    assert store.before_measuring(None) is None
    assert len(store.import_folder(tmp_path / "spool").imported) == 1


def test_a_process_that_never_gives_our_lock_back_is_named(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "WAIT_S", 0.2)
    path = address.lock_path(sqlite_uri)
    with holding(f"import fcntl; f = open({str(path)!r}, 'a'); fcntl.flock(f, {fcntl.LOCK_EX})") as pid:
        assert f"is kept locked by process {pid} (python" in refusal()
        with pytest.raises(StoreUnreachable, match=f"locked by process {pid}"):
            store.commit(typed(example_record()), None)
    assert store.before_measuring(None) is None


def test_a_lock_that_is_given_back_is_waited_for(sqlite_uri: str) -> None:
    path = address.lock_path(sqlite_uri)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        threading.Timer(0.3, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        assert store.before_measuring(None) is None


@pytest.mark.slow
def test_a_table_that_another_program_keeps_locked_is_one_line(
    postgresql_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql_uri)
    MlflowClient(postgresql_uri).search_experiments()
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=200ms")
    with psycopg.connect(postgresql_uri) as other:
        other.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        assert "is kept locked by another program" in refusal()


@contextmanager
def answering(status: int, body: str = "", **headers: str) -> Iterator[str]:
    """The URI of a server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, "<html>a page</html>", "does not answer as an MLflow server does (200 OK)"),
        (200, "{}", "does not answer as an MLflow server does (200 OK)"),
        (200, "[1]", "does not answer as an MLflow server does (200 OK)"),
        (404, "<html>a page</html>", "does not answer as an MLflow server does (404 Not Found)"),
        (401, "You are not authenticated", "refused the login (401"),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "no"}', "refused the login (403 no)"),
        (403, "Forbidden", "does not answer as an MLflow server does (403 Forbidden)"),
        (500, '{"error_code": "INTERNAL_ERROR", "message": "no database"}', "fails (500 no database)"),
        (500, "<html>broken</html>", "does not answer as an MLflow server does (500 Internal Server Error)"),
        (418, "x" * 2_000_000, "does not answer as an MLflow server does (418 "),
    ],
)
def test_what_is_no_mlflow_server_or_lets_nobody_in_is_told(
    status: int, body: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(status, body) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.replace("//", "//me:secret@"))
        found = refusal()
    assert said in found
    assert "secret" not in found


@pytest.mark.slow
def test_a_redirect_that_would_turn_a_post_into_a_get_is_told(http_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(302, Location=f"{http_uri}/login?token=abc") as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert f"it redirects to {http_uri}: set MLFLOW_TRACKING_URI" in refusal()


def test_a_server_that_is_not_there_now_keeps_nothing_from_being_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "postgresql"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://me:secret@127.0.0.1:{free_port()}/x")
        said = store.before_measuring(None)
        assert said is not None
        assert "does not answer" in said
        assert "refused" in said
        assert "secret" not in said
    with answering(503, "starting") as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert "does not answer (503" in (store.before_measuring(None) or "")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["nothing", "half"])
def test_a_server_that_never_ends_its_answer_is_given_up_soon(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httplook, "TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kept = []

        def accept() -> None:
            kept.append(silent.accept()[0])
            kept[0].sendall(said)

        threading.Thread(target=accept, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert "does not answer" in (store.before_measuring(None) or "")
        assert time.monotonic() - began < 5


def test_a_port_that_speaks_no_http_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            with other.accept()[0] as link:
                link.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                link.recv(4096)

        threading.Thread(target=greet, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{other.getsockname()[1]}")
        assert "is not an MLflow server (its response is not HTTP)" in refusal()


@pytest.mark.slow
def test_a_server_without_tls_is_told(http_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", http_uri.replace("http:", "https:"))
    assert "has no TLS" in refusal()


def test_credentials_are_those_that_mlflow_sends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mlflow.utils.credentials import read_mlflow_creds

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = me\nmlflow_tracking_password = kept\n"
    )
    assert tuple(read_mlflow_creds()) == ("me", "kept")
    assert httplook._login() == {"Authorization": "Basic bWU6a2VwdA=="}
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "other")
    assert httplook._login() == {"Authorization": "Basic bWU6b3RoZXI="}


@pytest.mark.slow
def test_artifacts_at_a_path_of_the_server_are_refused(http_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"path-{time.time_ns()}"
    MlflowClient(http_uri).create_experiment(name, "/srv/nowhere-here/artifacts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", http_uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    said = refusal()
    assert "keeps artifacts at /srv/nowhere-here/artifacts, a path of the server" in said
    assert "--serve-artifacts" in said
    assert not Path("/srv/nowhere-here").exists()


@pytest.mark.slow
def test_a_folder_that_a_server_of_this_machine_shares_with_us_is_taken(
    http_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = f"shared-{time.time_ns()}"
    (tmp_path / "artifacts of all").mkdir()
    MlflowClient(http_uri).create_experiment(name, f"file://{tmp_path}/artifacts%20of%20all")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", http_uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    assert store.before_measuring(None) is None


def test_a_new_experiment_would_keep_its_artifacts_where_the_servers_own_does(monkeypatch: pytest.MonkeyPatch) -> None:
    found = seen.Experiment("0", "Default", False, "/srv/nowhere-here/0")
    monkeypatch.setattr("runner.store.look.server.Server.by_id", lambda *_: found)
    monkeypatch.setattr("runner.store.look.server.Server.by_name", lambda *_: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert "/srv/nowhere-here/0, a path of the server" in refusal()


@pytest.mark.slow
def test_a_server_that_passes_no_artifacts_on_is_refused(http_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = httplook.get
    # read off MLflow 3.17 and 2.9
    disabled = "Endpoint: /api/2.0/mlflow-artifacts/artifacts disabled due to the mlflow server running with "
    with answering(503, f"{disabled}`--no-serve-artifacts`.") as uri:
        monkeypatch.setattr(
            httplook, "get", lambda base, path, query: real(uri if "artifacts" in path else base, path, query)
        )
        monkeypatch.setenv("MLFLOW_TRACKING_URI", http_uri)
        assert "runs with --no-serve-artifacts" in refusal()


def test_artifacts_behind_a_server_cannot_be_written_past_it(sqlite_uri: str) -> None:
    MlflowClient(sqlite_uri).create_experiment(address.experiment_name(), "mlflow-artifacts:/1")
    assert "behind an MLflow server (mlflow-artifacts:/1): set MLFLOW_TRACKING_URI" in refusal()


def test_artifacts_that_need_a_package_name_it(sqlite_uri: str) -> None:
    MlflowClient(sqlite_uri).create_experiment(address.experiment_name(), "gs://bucket/place")
    assert "lacks the package google.cloud.storage" in refusal(kind=MissingPackage)


@pytest.mark.slow
def test_artifacts_in_a_folder_of_another_machine_are_refused(
    postgresql_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql_uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name := f"elsewhere-{time.time_ns()}")
    MlflowClient(postgresql_uri).create_experiment(name, "/etc/hostname/mlruns/1")
    assert "/etc/hostname/mlruns/1, which cannot be written from here" in refusal()


def test_a_look_at_a_store_that_is_wrong_makes_no_run(sqlite_uri: str, tmp_path: Path) -> None:
    client = MlflowClient(sqlite_uri)
    client.delete_experiment(client.create_experiment(address.experiment_name()))
    for index in range(2):
        session = example_record(session={"id": f"session-{index}", "index": index})
        record.write(session, tmp_path / "spool" / f"{index}.json")
    with pytest.raises(StoreUnreachable, match=r"is deleted: .*runner import"):
        store.import_folder(tmp_path / "spool")
    with pytest.raises(StoreUnreachable, match="is deleted: restore it"):
        store.commit(typed(example_record()), None)
    assert contents.runs(sqlite_uri) == []


def test_a_command_that_ends_at_the_look_measures_nothing_and_closes_the_run_with_the_reason(
    sqlite_uri: str, tmp_path: Path
) -> None:
    client = MlflowClient(sqlite_uri)
    run_id = client.create_run("0").info.run_id
    client.delete_experiment(client.create_experiment("in the trash"))
    variables = {"MLFLOW_RUN_ID": run_id, "MLFLOW_EXPERIMENT_NAME": "in the trash"}
    ended = subprocess.run(
        [sys.executable, "-m", "runner", "cell", "--gpu", "cpu", "--model", "tiny", "--ctx", "64"],
        env={**os.environ, **variables, "PYTHONPATH": str(Path(__file__).resolve().parents[4])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (21, "", 1)
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "store-unreachable")
    assert ended.stderr == f"error: {run.data.tags['message']}\n"
    assert list(tmp_path.glob("spool/*.json")) == []


def _in_the_way(place: Path, kind: str) -> Path:
    """The file of a store that cannot be one."""
    if kind == "a folder":
        place.mkdir()
    elif kind == "a pipe":
        os.mkfifo(place)
    elif kind == "a loop":
        place.symlink_to(place.name)
    elif kind == "below a file":
        place.write_text("")
        return place / "mlflow.db"
    return Path("/dev/null") if kind == "a device" else place


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("a folder", "Is a directory: it is a folder: name a file"),
        ("a pipe", "not a file but a pipe or a device"),
        ("a device", "not a file but a pipe or a device"),
        ("a loop", "Too many levels of symbolic links: its links form a loop"),
        ("below a file", "Not a directory: it, or a part of its path, is a file"),
    ],
)
def test_what_is_in_the_way_of_an_sqlite_file_is_told_in_writing_and_reading(
    kind: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = _in_the_way(tmp_path / "x.db", kind)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := f"sqlite:///{place}")
    expected = f"the MLflow store {uri} cannot be used: {place}: {said}"
    assert refusal().startswith(expected)
    record.write(example_record(), tmp_path / "spool" / "session.json")
    with pytest.raises(StoreUnreachable, match="cannot be used") as caught:
        store.import_folder(tmp_path / "spool")
    assert str(caught.value).startswith(expected)
    with pytest.raises(StoreUnreachable) as read:
        Store(uri).frame(("step_wall_ms",))
    assert str(read.value).startswith(expected)


@pytest.mark.parametrize("place", ["/proc/mlflow.db", "/proc/x/mlflow.db"])
def test_a_folder_where_nothing_can_be_made_takes_no_store(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}")
    assert "cannot be used: /proc: " in refusal()


@pytest.mark.usefixtures("sqlite_uri")
def test_a_folder_in_place_of_the_lock_is_told(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db.lock").mkdir()
    assert f"{tmp_path}/mlflow.db.lock: Is a directory" in refusal()


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_in_place_of_the_artifacts_folder_is_told(
    is_there: bool, empty_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    if is_there:
        shutil.copy(empty_sqlite, tmp_path / "mlflow.db")
    (tmp_path / "mlruns").touch()
    assert f"cannot be written from here ({tmp_path}/mlruns: Not a directory)" in refusal()


def test_artifacts_of_an_sqlite_store_that_cannot_be_written_are_told(sqlite_uri: str) -> None:
    MlflowClient(sqlite_uri).create_experiment(address.experiment_name(), "/proc/nowhere/art")
    assert "keeps its artifacts in /proc/nowhere/art, which cannot be written from here (/proc: " in refusal()


def test_artifacts_of_a_store_that_was_moved_are_looked_for_where_they_will_be(
    empty_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_sqlite, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := f"sqlite:///{tmp_path}/mlflow.db")
    MlflowClient(uri).create_experiment(address.experiment_name(), "/proc/nowhere/mlruns/1")
    assert store.before_measuring(None) is None


def test_a_folder_whose_name_is_not_utf8_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/tr\xe8s"))
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert "whose name is not UTF-8: rename it, or set MLFLOW_TRACKING_URI" in refusal(kind=BadValue)
    record.write(example_record(), folder / "spool" / "session.json")
    with pytest.raises(BadValue, match="not UTF-8"):
        store.import_folder(folder / "spool")
    assert [path.name for path in folder.iterdir()] == ["spool"]
    with pytest.raises(BadRecord, match="there is no MLflow store"):
        Store(address.tracking_uri()).frame(("step_wall_ms",))


@pytest.mark.usefixtures("sqlite_uri")
def test_another_users_lock_that_may_be_read_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db.lock"
    path.touch()
    strangers(path).chmod(0o644)
    code = "from runner import store; print(store.before_measuring(None))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[4])},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=obey_modes,
    )
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_a_lock_that_is_made_can_be_taken_by_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := f"sqlite:///{tmp_path}/mlflow.db")
    before = os.umask(0o077)
    try:
        with lock.held(uri):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "mlflow.db.lock").stat().st_mode & 0o777 == 0o666


@pytest.fixture(scope="module")
def rights(postgresql_uri: str) -> Iterator[tuple[str, str]]:
    """URIs of a store and of an empty database, with {} for the user: `reader` may read the store's tables, `stranger`
    nothing."""
    place = postgresql_uri.rpartition("/")[0]
    with psycopg.connect(postgresql_uri, autocommit=True) as link:
        for name in ("rights_full", "rights_empty"):
            link.execute(f"CREATE DATABASE {name}")
        for name in ("reader", "stranger"):
            link.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'se@cret'")
    MlflowClient(f"{place}/rights_full").search_experiments()
    with psycopg.connect(f"{place}/rights_full", autocommit=True) as link:
        link.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    full, empty = (f"{place.replace('//tester:', '//{}:')}/{name}" for name in ("rights_full", "rights_empty"))
    yield full, empty
    with psycopg.connect(postgresql_uri, autocommit=True) as link:
        for name in ("rights_full", "rights_empty"):
            link.execute(f"DROP DATABASE {name} WITH (FORCE)")
        link.execute("DROP ROLE reader, stranger")


GRANT = "have its owner GRANT this user the missing rights"


def test_what_a_user_of_postgresql_may_not_do_is_told_before_anything_is_measured(
    rights: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full, empty = rights
    record.write(example_record(), tmp_path / "spool" / "session.json")
    for uri, said in (
        (full.format("reader"), "permission denied for table"),
        (full.format("stranger"), "permission denied for table"),
        (empty.format("stranger"), "permission denied: this user lacks CREATE on the schema"),
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        found = refusal()
        assert said in found
        assert GRANT in found
        assert "cret" not in found
        with pytest.raises(StoreUnreachable, match=GRANT):
            store.import_folder(tmp_path / "spool")


def test_what_a_user_of_postgresql_may_not_read_is_told(rights: tuple[str, str]) -> None:
    full, empty = rights
    with pytest.raises(StoreUnreachable, match=f"permission denied for table .*{GRANT}"):
        Store(full.format("stranger")).frame(("step_wall_ms",))
    with pytest.raises(BadRecord, match="has no runs"):
        Store(full.format("reader")).frame(("step_wall_ms",))
    with pytest.raises(BadRecord, match="the database is empty"):
        Store(empty.format("stranger")).frame(("step_wall_ms",))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "said", "advice"),
    [
        ("se%40cret", "guess", "password authentication failed", "correct the user and the password in"),
        ("tester", "nobody", "authentication failed", "correct the user and the password in"),
        (
            "/postgres",
            "/nosuchdb",
            'database "nosuchdb" does not exist',
            "create it (`createdb NAME`), or name another",
        ),
        ("/postgres", "/postgres?sslmode=require", "server does not support SSL", "set sslmode in MLFLOW_TRACKING_URI"),
        ("/postgres", "/postgres?sslmode=often", "sslmode", "sslmode"),
        ("/postgres", "/postgres?sesame=open", "sesame", "correct MLFLOW_TRACKING_URI"),
    ],
)
def test_what_keeps_postgresql_from_letting_us_in_is_told_with_its_remedy(
    old: str, new: str, said: str, advice: str, postgresql_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := postgresql_uri.replace(old, new))
    with pytest.raises(StoreUnreachable) as read:
        Store(uri).frame(("step_wall_ms",))
    for found in (refusal(), str(read.value)):
        assert said in found
        assert advice in found
        assert "start" not in found
        assert "\n" not in found


def test_a_file_that_is_no_database_says_to_name_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("no database\n" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/notes.txt")
    said = "(file is not a database): that file is not an SQLite database: name another in MLFLOW_TRACKING_URI"
    assert said in refusal()


def test_the_ui_tells_of_a_deleted_experiment(sqlite_uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    store.commit(typed(example_record()), None)
    MlflowClient(sqlite_uri).delete_experiment("1")
    assert store.cells_addresses("http://127.0.0.1:5000") == []
    assert capsys.readouterr().err == (
        "note: the experiment decode-floor (id 1) is deleted: restore it with `mlflow experiments restore "
        "--experiment-id 1`\n"
    )
