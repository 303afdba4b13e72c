"""The host-wide lock, held by real processes that wait, are interrupted and are killed."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.errors import BadValue
from runner.machine import hostlock

REPOSITORY = Path(__file__).parents[3]
HOLDER = """
import sys, time
from runner.machine import hostlock
with hostlock.hold(False, lambda text: print("waits:", text, flush=True)):
    print("holds", flush=True)
    sys.stdin.read()
"""
WAITER_WITH_HANDLER = """
import signal, sys
from runner.machine import hostlock
def stop(number, frame):
    raise SystemExit(99)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGUSR1, lambda number, frame: print("handled", flush=True))
with hostlock.hold(False, lambda text: print("waits", flush=True)):
    print("holds", flush=True)
"""
Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(hostlock.FOLDER_VARIABLE, str(tmp_path / "deep" / "lock"))
    return tmp_path / "deep" / "lock"


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(script: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True, cwd=REPOSITORY)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def held(start: Start) -> subprocess.Popen[str]:
    holder = start(HOLDER)
    assert line(holder) == "holds"
    return holder


def status(process: subprocess.Popen[str], field: str) -> str:
    text = Path(f"/proc/{process.pid}/status").read_text()
    match = re.search(rf"^{field}:\s*(\S+)", text, re.MULTILINE)
    assert match
    return match.group(1)


def asleep(process: subprocess.Popen[str]) -> None:
    for _ in range(200):
        if status(process, "State") == "S":
            return
        time.sleep(0.01)
    raise AssertionError("the process does not sleep")


@pytest.mark.medium
def test_the_second_is_told_for_whom_it_waits_and_gets_the_host_next(start: Start) -> None:
    first = held(start)
    second = start(HOLDER)
    told = line(second)
    match = re.fullmatch(r"waits: waiting for another session on this host \(pid (\d+), since (.*)\)", told)
    assert match, told
    assert int(match.group(1)) == first.pid
    since = time.mktime(time.strptime(match.group(2), "%Y-%m-%d %H:%M:%S"))
    assert 0 <= time.time() - since < 60
    first.communicate()  # its input ends, it leaves
    assert first.returncode == 0
    assert line(second) == "holds"


@pytest.mark.medium
def test_waiting_is_asleep_not_polling(start: Start) -> None:
    held(start)
    second = start(HOLDER)
    line(second)
    asleep(second)
    before = status(second, "voluntary_ctxt_switches")
    time.sleep(0.5)
    assert status(second, "voluntary_ctxt_switches") == before


@pytest.mark.medium
def test_a_killed_holder_frees_the_host(start: Start) -> None:
    first = held(start)
    second = start(HOLDER)
    assert line(second).startswith("waits")
    os.kill(first.pid, signal.SIGKILL)
    assert line(second) == "holds"
    assert first.wait() == -signal.SIGKILL


@pytest.mark.medium
def test_a_signal_handler_that_raises_ends_the_wait(start: Start) -> None:
    first = held(start)
    second = start(WAITER_WITH_HANDLER)
    assert line(second) == "waits"
    asleep(second)
    second.send_signal(signal.SIGUSR1)  # a handler that returns does not
    assert line(second) == "handled"
    second.send_signal(signal.SIGTERM)
    assert second.wait(timeout=10) == 99
    assert first.poll() is None


@pytest.mark.medium
def test_sharing_the_host_takes_no_lock(start: Start, folder: Path) -> None:
    with hostlock.hold(True, pytest.fail):
        assert not folder.exists()
        held(start)
    with hostlock.hold(True, pytest.fail):
        pass


def test_a_session_that_fails_frees_the_host() -> None:
    with pytest.raises(ZeroDivisionError), hostlock.hold(False, pytest.fail):
        _ = 1 // 0
    with hostlock.hold(False, pytest.fail):
        pass


def test_no_descriptor_is_left_open(folder: Path) -> None:
    with hostlock.hold(False, pytest.fail):
        pass
    links = (os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists())
    assert not [link for link in links if link.startswith(str(folder))]


def test_a_child_does_not_inherit_the_lock() -> None:
    with hostlock.hold(False, pytest.fail):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with hostlock.hold(False, pytest.fail):
            pass
    finally:
        child.kill()
        child.wait()


def test_all_users_may_use_what_the_first_one_created(folder: Path) -> None:
    umask = os.umask(0o077)
    try:
        with hostlock.hold(False, pytest.fail):
            assert folder.stat().st_mode & 0o7777 == 0o1777
            assert (folder / "host.lock").stat().st_mode & 0o7777 == 0o666
    finally:
        os.umask(umask)


def test_the_file_names_the_holder_only_while_it_holds(folder: Path) -> None:
    with hostlock.hold(False, pytest.fail):
        pid, since = (folder / "host.lock").read_text().split()
        assert int(pid) == os.getpid()
        assert abs(time.time() - int(since)) < 60
    assert (folder / "host.lock").read_text() == ""


@pytest.mark.medium
@pytest.mark.parametrize("text", ["", "rubbish\x1b[2J", "1 2 3\n", "-5 1\n", "9" * 100])
def test_nothing_but_two_numbers_is_repeated_from_the_file(start: Start, folder: Path, text: str) -> None:
    held(start)
    (folder / "host.lock").write_text(text)
    assert line(start(HOLDER)) == "waits: waiting for another session on this host"


@pytest.mark.medium
def test_a_file_removed_meanwhile_does_not_let_two_in(start: Start, folder: Path) -> None:
    first = held(start)
    second = start(HOLDER)
    assert line(second).startswith("waits")
    (folder / "host.lock").unlink()
    third = held(start)  # on a new file
    first.communicate()
    assert second.stdout is not None
    # it gets the old file's lock, sees that the file is gone, and waits for the new one: no "holds" yet
    assert select.select([second.stdout], [], [], 0.5)[0] == []
    third.communicate()
    assert line(second) == "holds"


def test_a_symbolic_link_is_refused_and_its_target_left_alone(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder.mkdir(parents=True)
    (folder / "host.lock").symlink_to(victim)
    with pytest.raises(BadValue, match="a symbolic link is in the way"), hostlock.hold(False, pytest.fail):
        pass
    assert victim.read_text() == "precious"


def test_a_link_to_nowhere_creates_nothing(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "host.lock").symlink_to(tmp_path / "created")
    with pytest.raises(BadValue, match="symbolic link"), hostlock.hold(False, pytest.fail):
        pass
    assert not (tmp_path / "created").exists()


def test_a_folder_that_is_a_symbolic_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadValue, match="symbolic link"), hostlock.hold(False, pytest.fail):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_hard_link_is_refused_and_its_other_name_left_alone(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder.mkdir(parents=True)
    os.link(victim, folder / "host.lock")
    with pytest.raises(BadValue, match="not a plain file"), hostlock.hold(False, pytest.fail):
        pass
    assert victim.read_text() == "precious"


def test_a_pipe_in_the_way_is_refused_and_does_not_block(folder: Path) -> None:
    folder.mkdir(parents=True)
    os.mkfifo(folder / "host.lock")
    with pytest.raises(BadValue, match="not a plain file"), hostlock.hold(False, pytest.fail):
        pass


def test_a_folder_that_cannot_be_is_one_line_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(hostlock.FOLDER_VARIABLE, str(tmp_path / "file" / "lock"))
    with pytest.raises(BadValue, match="DECODE_FLOOR_LOCK_DIR") as caught, hostlock.hold(False, pytest.fail):
        pass
    assert "\n" not in str(caught.value)


def test_the_folder_without_a_wish_is_one_for_all_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(hostlock.FOLDER_VARIABLE)
    assert hostlock.folder() == Path("/tmp/decode-floor")
    monkeypatch.setenv(hostlock.FOLDER_VARIABLE, "")
    assert hostlock.folder() == Path("/tmp/decode-floor")


@pytest.mark.medium
def test_the_holder_is_told_without_waiting(start: Start, folder: Path) -> None:
    assert hostlock.holder() is None
    assert not folder.exists()
    holder = held(start)
    assert re.fullmatch(rf"another session on this host \(pid {holder.pid}, since [\d: -]+\)", str(hostlock.holder()))
    holder.communicate()
    assert hostlock.holder() is None


def test_a_link_in_the_place_of_the_lock_has_no_holder(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    (folder / hostlock.FILE_NAMES[hostlock.SESSION]).symlink_to(tmp_path)
    with pytest.raises(BadValue, match="a symbolic link is in the way"):
        hostlock.holder()
