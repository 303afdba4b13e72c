"""Files that a command writes: whole or not at all, and one line where they cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis import outputs
from runner.errors import BadValue, DiskFull


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


@pytest.mark.medium
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
