"""Whom the worker runs as: the caller, by whatever ids the engine has for that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.errors import NoContainer
from runner.launch.container import user
from runner.launch.container.engine import Engine
from runner.launch.container.user import User
from tests.runner.launch.container.fake import FakeEngine, transcript

SAME = "1000:100"


def docker(folder: Path, out: str, err: str = "", code: int = 0) -> Engine:
    """One that says this of its security options. No transcripts: of an engine of Docker's none was to be had, the
    names are those of its source and documentation."""
    fake = FakeEngine(folder, "docker", {"info": {"out": out, "err": err, "code": code}})
    return Engine("docker", str(fake.program))


@pytest.mark.medium
@pytest.mark.parametrize(
    ("said", "ids"),
    [
        ('["name=seccomp,profile=builtin","name=cgroupns"]', SAME),
        ('["name=apparmor","name=seccomp,profile=builtin"]', SAME),
        ("null", SAME),
        ('["name=seccomp,profile=builtin","name=rootless","name=cgroupns"]', "0:0"),
        ('["name=seccomp,profile=/home/rootless/userns"]', SAME),
    ],
)
def test_of_a_rootless_docker_root_is_the_caller(
    said: str, ids: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getgid", lambda: 100)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert user.caller(docker(tmp_path, said)) == User(ids)


@pytest.mark.medium
def test_of_a_docker_that_remaps_users_nobody_is_the_caller(tmp_path: Path) -> None:
    with pytest.raises(NoContainer, match=r"userns-remap.* no user of a container is you: use Podman, or Docker"):
        user.caller(docker(tmp_path, '["name=seccomp,profile=builtin","name=userns"]'))


@pytest.mark.medium
def test_a_docker_that_does_not_say_is_not_taken_for_either(tmp_path: Path) -> None:
    with pytest.raises(NoContainer, match="docker is installed but does not answer"):
        user.caller(docker(tmp_path, "null\n", transcript("docker-not-running.txt"), 1))
    for out in ("", "{", "[1]", '["seccomp"]', "7"):
        with pytest.raises(NoContainer, match="the engine's answer about its security options cannot be read"):
            user.caller(docker(tmp_path, out))


def test_podman_of_a_user_keeps_the_ids_and_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeEngine(tmp_path, "podman", {})
    podman = Engine("podman", str(fake.program))
    monkeypatch.setattr(os, "getgid", lambda: 100)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert user.caller(podman) == User("1000:100", ("--userns", "keep-id"))
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert user.caller(podman) == User("0:100")
    assert fake.told() == []


@pytest.mark.parametrize(
    ("is_owner", "is_of_group", "mode", "is_written"),
    [
        (True, False, 0o755, True),
        (True, True, 0o577, False),  # the owner's bits count for the owner, whatever others have
        (False, False, 0o755, False),  # also where the caller is root, who has no rights over others' files there
        (False, True, 0o775, True),
        (False, False, 0o775, False),
        (False, False, 0o777, True),
        (False, False, 0o776, False),
    ],
)
def test_a_spool_that_a_container_could_not_write_is_told_before_it_is_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_owner: bool, is_of_group: bool, mode: int, is_written: bool
) -> None:
    tmp_path.chmod(mode)
    owner, group = tmp_path.stat().st_uid, tmp_path.stat().st_gid
    monkeypatch.setattr(os, "getuid", lambda: owner if is_owner else owner + 1)
    monkeypatch.setattr(os, "getgid", lambda: group if is_of_group else group + 1)
    if is_written:
        user.check_writable(tmp_path)
    else:
        with pytest.raises(
            NoContainer, match=rf"^{tmp_path} \(of user {owner}, group {group}, mode {mode:o}\) cannot be written"
        ):
            user.check_writable(tmp_path)


def test_what_is_not_there_yet_or_has_an_access_list_is_not_judged_by_its_mode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tmp_path.chmod(0o500)
    user.check_writable(tmp_path / "spool")
    with pytest.raises(NoContainer):
        user.check_writable(tmp_path)
    monkeypatch.setattr(os, "listxattr", lambda _: ["user.note", "system.posix_acl_access"])
    user.check_writable(tmp_path)
