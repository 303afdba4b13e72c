"""Places that cannot be used, through whole commands: one line that names the place, and the code of its kind."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.cell import catalogue
from runner.checkpoints.modelconfig import config_of
from runner.errors import BadValue
from runner.record import record
from tests.support.processes import run_module
from tests.support.records import example_record
from tests.support.rights import by_process, close, command, one_line, strangers

Setting = Callable[[Path], None]
CELL = ("cell", "--gpu", "cpu", "--model", "tiny", "--ctx", "64")
WEIGHTS = (*CELL, "--weights", "./weights", "--spool", "spool")
SPOOL = (*CELL, "--spool", "spool")
AB = ("ab", "--gpu", "cpu", "--model", "tiny", "--ctx", "64", "--spool", "spool")


@pytest.fixture(autouse=True)
def _opened_again(tmp_path: Path) -> Iterator[None]:
    """Opens again what a test closed, for pytest to remove."""
    yield
    for path, folders, files in os.walk(tmp_path):
        for name in (*folders, *files):
            place = Path(path, name)
            if not place.is_symlink():
                place.chmod(0o700)


def checkpoint(folder: Path) -> Path:
    """One whose config is right and whose files are not read by what is tested here."""
    place = folder / "weights"
    place.mkdir()
    (place / "config.json").write_text(json.dumps(config_of(catalogue.models()["tiny"].shape)))
    (place / "model.safetensors").write_bytes(bytes(16))
    return place


def sharded(folder: Path) -> Path:
    place = checkpoint(folder)
    (place / "model.safetensors").unlink()
    (place / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "1.safetensors"}}))
    (place / "1.safetensors").write_bytes(bytes(16))
    return place


def spool(folder: Path) -> Path:
    record.write(example_record(), folder / "spool" / "one.json")
    return folder / "spool"


def as_it_is(_: Path) -> None:
    pass


def loop(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


def pipe(path: Path) -> Path:
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


def _read_only(folder: Path) -> None:
    """A working folder that takes no store, though the spool below it takes a record."""
    (folder / "spool").mkdir()
    folder.chmod(0o555)


def _shadowed(folder: Path, name: str) -> Path:
    """A folder in place of a file."""
    (folder / name).unlink()
    (folder / name).mkdir()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "arguments", "code", "said"),
    [
        (lambda at: close(checkpoint(at)), WEIGHTS, 16, "weights/config.json: Permission denied"),
        (lambda at: close(checkpoint(at), 0o600), WEIGHTS, 16, "weights/config.json: Permission denied"),
        (lambda at: close(checkpoint(at) / "config.json"), WEIGHTS, 16, "config.json: Permission denied"),
        (lambda at: close(checkpoint(at) / "model.safetensors"), WEIGHTS, 16, "model.safetensors: Permission denied"),
        (lambda at: close(sharded(at) / "1.safetensors"), WEIGHTS, 16, "1.safetensors: Permission denied"),
        (lambda at: close(sharded(at) / "model.safetensors.index.json"), WEIGHTS, 16, "index.json: Permission denied"),
        (lambda at: (at / "x").mkdir(mode=0), (*CELL, "--weights", "x/y"), 16, "x/y: Permission denied"),
        (lambda at: pipe(checkpoint(at) / "config.json"), WEIGHTS, 16, "not a file but a pipe"),
        (lambda at: pipe(sharded(at) / "1.safetensors"), WEIGHTS, 16, "1.safetensors"),
        (lambda at: pipe(sharded(at) / "model.safetensors.index.json"), WEIGHTS, 16, "safetensors"),
        (lambda at: _shadowed(checkpoint(at), "config.json"), WEIGHTS, 16, "not a file but a folder"),
        (lambda at: loop(at / "weights"), WEIGHTS, 16, "weights=./weights"),
        (lambda at: (at / "weights").write_text(""), (*CELL, "--weights", "weights/deeper"), 16, "weights/deeper"),
        (as_it_is, (*CELL, "--weights", "./" + "x" * 300), 16, "File name too long"),
        (as_it_is, (*CELL, "--weights", "~nobody-of-that-name/x"), 16, "no such folder"),
        (lambda at: close(spool(at), 0o500), SPOOL, 11, "the spool {at}/spool cannot be written (Permission denied)"),
        (lambda at: close(spool(at)), SPOOL, 11, "the spool {at}/spool cannot be written (Permission denied)"),
        (lambda at: strangers(spool(at)), SPOOL, 11, "the spool {at}/spool cannot be written (Permission denied)"),
        (lambda at: (at / "spool").write_text(""), SPOOL, 11, "the spool {at}/spool cannot be written"),
        (lambda at: (at / "file").write_text(""), (*CELL, "--spool", "file/deeper"), 11, "{at}/file is a file"),
        (lambda at: loop(at / "spool"), SPOOL, 11, "the spool {at}/spool cannot be written"),
        (lambda at: pipe(at / "spool"), SPOOL, 11, "the spool {at}/spool cannot be written"),
        (as_it_is, (*CELL, "--spool", "x" * 300), 11, "File name too long"),
        (as_it_is, (*CELL, "--spool", "/proc/spool"), 11, "the spool /proc/spool cannot be written"),
        (lambda at: close(spool(at), 0o500), AB, 11, "cannot be written (Permission denied)"),
        (lambda at: (at / "spool").write_text(""), AB, 11, "cannot be written"),
        (lambda at: close(spool(at)), ("import", "spool"), 11, "spool: Permission denied"),
        (lambda at: close(spool(at)), ("verify", "spool"), 11, "spool: Permission denied"),
        (lambda at: (at / "file").write_text(""), ("import", "file"), 11, "name the folder that it is in"),
        (lambda at: (at / "file").write_text(""), ("import", "file/x"), 11, "file/x: Not a directory: it, or a part"),
        (lambda at: loop(at / "spool"), ("import", "spool"), 11, "its links form a loop"),
        (as_it_is, ("import", "x" * 300), 11, "name a shorter path"),
        (_read_only, CELL, 21, "MLflow store sqlite:///mlflow.db cannot be used: {at}: Permission denied"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_used_is_one_line_with_the_code_of_its_kind(
    tmp_path: Path, setting: Setting, arguments: tuple[str, ...], code: int, said: str
) -> None:
    setting(tmp_path)
    assert said.format(at=tmp_path) in one_line(command("runner", tmp_path, *arguments), code)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (lambda file: close(file), "one.json: cannot be read (Permission denied)"),
        (lambda file: close(file.parent, 0o600), "one.json: cannot be read (Permission denied)"),
        (lambda file: pipe(file), "one.json: cannot be read (not a file but a pipe or a device)"),
        (lambda file: loop(file) if file.unlink() is None else None, "one.json: cannot be read (Too many levels of"),
        (lambda file: close(_folder(file)), "inner: cannot be read (Permission denied)"),
        (lambda file: pipe(file.with_name("ab.json")), "ab.json: cannot be read (not a file but a pipe or a device)"),
        (lambda file: close(_copy(file, "ab.json")), "ab.json: cannot be read (Permission denied)"),
    ],
)
def test_a_record_that_cannot_be_read_is_named(tmp_path: Path, setting: Callable[[Path], object], said: str) -> None:
    file = spool(tmp_path) / "one.json"
    setting(file)
    done = command("runner", tmp_path, "verify", "spool")
    assert said in done.stdout
    assert " failed verification" in one_line(done, 24)


def _folder(file: Path) -> Path:
    inner = file.parent / "inner"
    inner.mkdir()
    return inner


def _copy(file: Path, name: str) -> Path:
    return Path(shutil.copy(file, file.with_name(name)))


@pytest.mark.medium
@pytest.mark.parametrize("path", ["unreadable/one.json", "/dev/zero", "/dev/null", "pipe.json", "socket.json"])
def test_verify_of_what_is_no_file_ends(tmp_path: Path, path: str) -> None:
    (tmp_path / "unreadable").mkdir(mode=0)
    pipe(tmp_path / "pipe.json")
    socket.socket(socket.AF_UNIX).bind(str(tmp_path / "socket.json"))
    done = command("runner", tmp_path, "verify", path)
    one_line(done, 24)
    assert done.stdout.startswith(f"{path}: cannot be read (")


@pytest.mark.medium
@pytest.mark.parametrize("name", ["gpus.yaml", "models.yaml"])
@pytest.mark.parametrize("setting", [close, pipe, lambda file: _shadowed(file.parent, file.name), Path.unlink])
def test_a_catalogue_that_cannot_be_read_is_named(tmp_path: Path, name: str, setting: Callable[[Path], object]) -> None:
    folder = tmp_path / "experiments"
    shutil.copytree(catalogue.folder(), folder, ignore=shutil.ignore_patterns("records"))
    setting(folder / name)
    done = command(
        "runner", tmp_path, "models" if name == "models.yaml" else "gpus", DECODE_FLOOR_EXPERIMENTS=str(folder)
    )
    line = one_line(done, 11)
    assert line.startswith(f"error: {folder}/{name}: cannot be read (")
    assert line.endswith("or correct DECODE_FLOOR_EXPERIMENTS")


@pytest.mark.medium
@pytest.mark.parametrize("encode", [
    lambda text: text.replace("\n", "\r\n").encode(),
    lambda text: text.encode("utf-8-sig"),
    lambda text: text.encode("utf-16"),
])  # fmt: skip
def test_a_catalogue_as_other_systems_editors_save_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode: Callable[[str], bytes]
) -> None:
    own = dict(catalogue.gpus()), dict(catalogue.models())
    for name in ("gpus.yaml", "models.yaml"):
        (tmp_path / name).write_bytes(encode((catalogue.folder() / name).read_text(encoding="utf-8")))
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    assert (dict(catalogue.gpus()), dict(catalogue.models())) == own


def test_a_catalogue_that_is_no_utf_8_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpus.yaml").write_bytes("l4:\n  name: Tür\n".encode("latin-1"))
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(BadValue, match=r"gpus\.yaml: not YAML"):
        catalogue.gpus()


@pytest.mark.medium
@pytest.mark.parametrize("setting", [close, strangers, lambda file: pipe(file)])
def test_a_host_lock_that_cannot_be_used_says_how_to_go_on(tmp_path: Path, setting: Callable[[Path], object]) -> None:
    (tmp_path / "lock").mkdir()
    (tmp_path / "lock" / "host.lock").touch()
    setting(tmp_path / "lock" / "host.lock")
    done = command("runner", tmp_path, *SPOOL, DECODE_FLOOR_LOCK_DIR=str(tmp_path / "lock"))
    assert "use --share-host" in one_line(done, 11)


@pytest.mark.medium
def test_without_any_folder_for_temporary_files(tmp_path: Path) -> None:
    """Nothing of the sort can be had on this machine, so Python is told that there is none."""
    (tmp_path / "sitecustomize.py").write_text(
        "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc']\n"
    )
    done = by_process(
        "runner", tmp_path, *SPOOL, PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}:{os.getcwd()}"
    )
    assert "set TMPDIR to a writable folder" in one_line(done, 11)


@pytest.mark.medium
def test_a_working_folder_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    done = by_process("runner", tmp_path / "gone", *SPOOL, before=lambda: os.rmdir(tmp_path / "gone"))
    one_line(done, 11)


FORGED = "y\n0 imported, 7 already there\u2028\x1b[2J.json"


@pytest.mark.medium
def test_a_files_name_forges_no_line_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    for name in (FORGED, "z.json"):
        (folder / name).write_text("{}")
    written = "y\\n0 imported, 7 already there\\u2028\\x1b[2J.json"
    done = command("runner", tmp_path, "import", "spool")
    assert done.stdout == "0 records imported, 0 already there\n"
    first, second, last = done.stderr.splitlines()
    assert first.startswith(f"refused spool/{written}: ")
    assert second == f"refused spool/z.json: for the same reason as spool/{written}"
    assert last.startswith(f"error: 2 files were not imported (spool/{written}: ")
    assert last.endswith("): restore or remove each, then import again")
    done = command("runner", tmp_path, "verify", "spool")
    assert (len(done.stdout.splitlines()), "\x1b" in done.stdout) == (2, False)
    done = command("runner", tmp_path, "verify", FORGED)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_folder_whose_name_is_no_utf_8_gives_tables_and_a_report(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    record.write(example_record(), folder / "one.json")
    done = run_module("analysis", "report", "--records", os.fsencode(folder), "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert "caf\ufffd" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def _nameless() -> int:
    names = {entry.pw_uid for entry in pwd.getpwall()}
    return next(number for number in range(54321, 65000) if number not in names)


USES = (
    "from runner.redaction.redact import redact; redact('x')",
    "from analysis.cache import *; path = entry_path('a', 'b'); keep_json(path, 1, 1); assert load_json(path) is None",
    "from runner.runtimes import _compilecache as c\nfrom runner.errors import BadValue\n"
    "try: c.cache_home()\nexcept BadValue: pass\nelse: raise SystemExit('there is a home')",
)


@pytest.mark.medium
@pytest.mark.parametrize("program", USES)
def test_who_has_neither_home_nor_name(tmp_path: Path, program: str) -> None:
    """In this process's own copy: another user need not be able to read this checkout."""
    if os.getuid() != 0:
        pytest.skip("hardware: only root can become a user without a name")
    preface = "import os, sys\nimport runner.redaction.redact, analysis.cache, runner.runtimes._compilecache\n"
    become = f"os.environ.pop('HOME', None); os.chdir({str(tmp_path)!r}); os.setresuid(*3 * [{_nameless()}])\n"
    done = run_module("started", folder=_module(tmp_path, preface + become + program))
    assert (done.returncode, done.stderr) == (0, b"")
    assert set(os.listdir(tmp_path)) - {"__pycache__"} == {"started.py"}


def _module(folder: Path, text: str) -> Path:
    folder.chmod(0o777)
    (folder / "started.py").write_text(text)
    return folder
