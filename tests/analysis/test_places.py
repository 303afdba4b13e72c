"""Places that the commands of analysis cannot use: one line and the family's code; of a cache, nothing at all."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analysis import cache, outputs
from analysis.report import files
from runner.errors import BadValue, DiskFull
from runner.record import record
from tests.support.records import example_record
from tests.support.rights import close, command, one_line, strangers

REPORT = ("report", "--records", "records", "--out", "out")


@pytest.fixture(autouse=True)
def records(tmp_path: Path) -> Path:
    record.write(example_record(), tmp_path / "records" / "one.json")
    return tmp_path / "records"


@pytest.mark.parametrize(
    ("setting", "arguments", "code", "said"),
    [
        (lambda at: close(at / "records"), ("floor", "--records", "records"), 24, "records: Permission denied"),
        (lambda at: close(at / "records"), ("ab", "records"), 24, "records: Permission denied"),
        (lambda at: (at / "out").mkdir(mode=0o500), REPORT, 11, "out cannot be written (Permission denied)"),
        (lambda at: strangers(_folder(at / "out")), REPORT, 11, "out cannot be written (Permission denied)"),
        (lambda at: os.mkfifo(_folder(at / "out") / "tables.md"), REPORT, 11, "out cannot be written (No such device"),
        (lambda at: close(_store(at)), ("floor", "--store", "sqlite:///mlflow.db"), 21, "Permission denied"),
        (lambda at: close(_store(at).parent), ("floor", "--store", "sqlite:///inner/mlflow.db"), 21, "denied"),
        (lambda at: os.mkfifo(at / "mlflow.db"), ("floor",), 21, "not a file but a pipe"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_used_is_one_line(
    tmp_path: Path, setting: Callable[[Path], object], arguments: tuple[str, ...], code: int, said: str
) -> None:
    setting(tmp_path)
    assert said in one_line(command("analysis", tmp_path, *arguments), code)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _store(at: Path) -> Path:
    file = at / "inner" / "mlflow.db"
    file.parent.mkdir()
    file.touch()
    (at / "mlflow.db").symlink_to(file)
    return file


def test_a_folder_that_cannot_be_looked_into_is_left_out_by_name(tmp_path: Path, records: Path) -> None:
    close(_folder(records / "inner"))
    done = command("analysis", tmp_path, "floor", "--records", "records")
    assert "left out records/inner: cannot be read (Permission denied)" in done.stderr
    assert "h200" in done.stdout
    one_line(done, 24)


def _file(at: Path) -> dict[str, str]:
    (at / "file").touch()
    return {"HOME": str(at / "file"), "XDG_CACHE_HOME": ""}


def _closed(at: Path) -> dict[str, str]:
    (at / "closed").mkdir(mode=0)
    return {"XDG_CACHE_HOME": str(at / "closed"), "HOME": str(at / "closed"), "XDG_CONFIG_HOME": str(at / "closed")}


def _read_only(at: Path) -> dict[str, str]:
    (at / "home").mkdir(mode=0o500)
    return {"HOME": str(at / "home"), "XDG_CACHE_HOME": ""}


def _missing(_: Path) -> dict[str, str]:
    return {"HOME": "/proc/nobody", "XDG_CACHE_HOME": "", "TMPDIR": "/proc/nothing"}


@pytest.mark.parametrize("setting", [_file, _closed, _read_only, _missing])
def test_without_a_home_to_write_to_there_is_no_cache_and_all_else_is_as_ever(
    tmp_path: Path, setting: Callable[[Path], dict[str, str]]
) -> None:
    done = command("analysis", tmp_path, "report", "--records", "records", **setting(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_cache_that_is_another_users_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    entry = cache.entry_path("comparisons", "x")
    entry.parent.mkdir(parents=True)
    os.mkfifo(entry)
    assert cache.load_json(entry) is None  # and nobody waits for the pipe's other end


@pytest.mark.parametrize("name", ["missing/x.png", "file/x.png", "x" * 300, "loop", "pipe", "closed/x.png"])
def test_a_figure_that_cannot_be_written_is_a_bad_value(tmp_path: Path, name: str) -> None:
    """The same function writes the report's files."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "closed").symlink_to("/proc/self/attr")  # where nobody may make a file
    try:
        outputs.write(tmp_path / name, b"x")
    except OSError as error:
        told = outputs.write_error(error, Path(name), "file")
    assert isinstance(told, BadValue)
    assert str(told).startswith(f"{name} cannot be written (")


def test_a_pipe_that_somebody_reads_gets_all_of_a_figure() -> None:
    reader, writer = os.pipe()
    content = bytes(range(256)) * 4096  # a MiB, more than a pipe holds
    if os.fork() == 0:
        os.close(writer)
        with open(reader, "rb") as file:
            os._exit(0 if file.read() == content else 1)
    os.close(reader)
    outputs.write(Path(f"/dev/fd/{writer}"), content)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0


@pytest.fixture
def _little_space() -> Iterator[None]:
    """No file may grow longer than 4 KiB, as on a disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("_little_space")
@pytest.mark.parametrize("earlier", [None, b"earlier"])
def test_a_file_that_does_not_fit_is_not_there_by_half(tmp_path: Path, earlier: bytes | None) -> None:
    file = tmp_path / "out" / "report.html"
    file.parent.mkdir()
    if earlier:
        file.write_bytes(earlier)
    with pytest.raises(BadValue, match="out cannot be written"):
        files.write({"report.html": b"x" * 10_000}, file.parent)
    assert [path.read_bytes() for path in file.parent.iterdir()] == ([earlier] if earlier else [])


def test_a_full_disk_names_the_file_or_folder() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        outputs.write(Path("/dev/full"), b"x")
    told = outputs.write_error(caught.value, Path("small/rep"), "folder with --out")
    assert (type(told), str(told)) == (
        DiskFull,
        "no space left for small/rep: free some, or name another folder with --out",
    )


def test_a_file_that_is_written_anew_keeps_its_mode_and_the_links_to_it(tmp_path: Path) -> None:
    (tmp_path / "real.html").touch(mode=0o640)
    (tmp_path / "link.html").symlink_to("real.html")
    outputs.write(tmp_path / "link.html", b"new")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "real.html").read_bytes() == b"new"
    assert (tmp_path / "real.html").stat().st_mode & 0o777 == 0o640
