"""PostgreSQL's data: made whole, by the version that is installed, as a user that is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.errors import BadValue, MissingPackage
from runner.store import postgresql
from runner.store.look import database
from tests.support.stores import PG_BINARIES


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user can enter: pytest's own are closed to others."""
    made = Path(tempfile.mkdtemp(prefix="df-pg-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def program(path: Path, says: str) -> None:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Versions 9.6 and 15 as Debian installs them."""
    for version in ("9.6", "15"):
        bin_folder = tmp_path / "postgresql" / version / "bin"
        bin_folder.mkdir(parents=True)
        for name in ("initdb", "pg_isready", "postgres"):
            program(bin_folder / name, f"{name} (PostgreSQL) {version}.3 (Debian {version}.3-0)")
    monkeypatch.setattr(postgresql, "DEBIAN", tmp_path / "postgresql")
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    return tmp_path / "postgresql"


def data_of(folder: Path, version: str) -> Path:
    (folder / "data").mkdir()
    (folder / "data" / "PG_VERSION").write_text(f"{version}\n")
    return folder / "data"


@pytest.mark.parametrize(("version", "used"), [("9.6", "9.6"), ("15", "15")])
def test_data_are_served_by_the_version_that_made_them(
    installed: Path, tmp_path: Path, version: str, used: str
) -> None:
    served = postgresql.service(data_of(tmp_path, version), tmp_path / "log")
    assert served.command[0] == str(installed / used / "bin" / "postgres")


def test_data_of_a_version_that_is_not_installed_are_refused_with_what_to_do(installed: Path, tmp_path: Path) -> None:
    assert installed.exists()
    with pytest.raises(BadValue) as caught:
        postgresql.service(data_of(tmp_path, "14"), tmp_path / "log")
    assert str(caught.value) == (
        f"{tmp_path}/data was made by PostgreSQL 14, and installed is 9 and 15: install 14, too, or convert the data "
        "with pg_upgrade"
    )


@pytest.mark.parametrize("text", [None, "", "garbage", "\xff"])
def test_a_folder_without_data_is_refused_with_what_to_do(installed: Path, tmp_path: Path, text: str | None) -> None:
    assert installed.exists()
    data = tmp_path / "data"
    data.mkdir()
    if text is not None:
        (data / "PG_VERSION").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadValue, match=r"has no data of PostgreSQL, .*: move it away, or choose another folder"):
        postgresql.service(data, tmp_path / "log")


def test_without_postgresql_its_package_is_named(installed: Path, tmp_path: Path) -> None:
    shutil.rmtree(installed)
    with pytest.raises(MissingPackage, match="PostgreSQL is not installed: `apt-get install postgresql`"):
        postgresql.service(tmp_path / "data", tmp_path / "log")


@pytest.mark.parametrize(
    ("name", "advice"), [("x" * 120, "a shorter one with --data"), ("a,b", "one without a comma with --data")]
)
def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path, name: str, advice: str) -> None:
    with pytest.raises(BadValue, match=f"choose {advice}$"):
        postgresql.service(tmp_path / name, tmp_path / "log")


def test_root_without_postgresqls_user_is_told_to_be_another(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installed.exists()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(postgresql, "ACCOUNT", "nobody-of-this-name")
    with pytest.raises(BadValue, match="refuses to run as root, and there is no user nobody-of-this-name"):
        postgresql.service(tmp_path / "data", tmp_path / "log")


def test_another_user_runs_it_as_itself(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed.exists()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert postgresql.service(data_of(tmp_path, "15"), tmp_path / "log").account is None


@pytest.mark.skipif(not PG_BINARIES, reason="debian: postgresql is not installed")
@pytest.mark.slow
def test_data_are_made_whole_and_closed_to_others(folder: Path) -> None:
    (folder / "data.new").mkdir()  # left behind by one that was killed
    (folder / "data.new" / "half").touch()
    made = postgresql.service(folder / "data", folder / "log")
    status = (folder / "data").stat()
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert status.st_uid == (os.geteuid() or pwd.getpwnam("postgres").pw_uid)
    assert not (folder / "data.new").exists()
    assert not postgresql.answers(folder / "data")
    with (
        subprocess.Popen(made.command, cwd=folder, user=made.account, stderr=subprocess.DEVNULL) as server,
    ):
        try:
            while not postgresql.answers(folder / "data"):
                assert server.poll() is None
            with database.opened(postgresql.uri(folder / "data")) as tables:
                assert tables is not None
                assert tables.check_schema(only_read=False) is False
            listening = subprocess.run(["cat", "/proc/net/tcp"], capture_output=True, text=True, check=True).stdout
            inodes = {os.readlink(link) for link in Path(f"/proc/{server.pid}/fd").iterdir() if link.is_symlink()}
            assert not [line for line in listening.splitlines()[1:] if f"socket:[{line.split()[9]}]" in inodes]
        finally:
            server.send_signal(made.stop)
    assert server.returncode == 0


def test_data_that_cannot_be_made_are_refused_with_the_reason(
    installed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(installed, folder / "postgresql")  # where its user can enter
    monkeypatch.setattr(postgresql, "DEBIAN", folder / "postgresql")
    fails = "echo busy; echo 'initdb: error: could not access directory' >&2; exit 1"
    (folder / "postgresql" / "15" / "bin" / "initdb").write_text(f"#!/bin/sh\n{fails}\n")
    with pytest.raises(BadValue) as caught:
        postgresql.service(folder / "data", folder / "log")
    reader = ", which the user postgres must be able to enter" if os.geteuid() == 0 else ""
    assert str(caught.value) == (
        "PostgreSQL cannot make its data (initdb: error: could not access directory): choose another folder with "
        f"--data{reader}"
    )
    assert not (folder / "data").exists()
