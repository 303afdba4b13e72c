"""Whom the worker runs as in its container: whoever there is the caller outside, so that the caller's spool can be
written and what is written there is the caller's."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runner.errors import NoContainer
from runner.launch.container.engine import PODMAN, Engine

ROOTLESS, REMAPPED = "rootless", "userns"
ACCESS_LISTS = frozenset({"system.posix_acl_access", "system.nfs4_acl"})


@dataclass(frozen=True)
class User:
    """`ids` are the user's and the group's inside; `namespace` are the engine's options that make them the caller's."""

    ids: str
    namespace: tuple[str, ...] = ()


def caller(engine: Engine) -> User:
    """Whom the caller is in a container of this engine. Raises NoContainer where nobody there is, or where the engine
    does not answer."""
    same = f"{os.getuid()}:{os.getgid()}"
    if engine.name == PODMAN:
        # run by a user who is not root it maps ids, all to others than their own unless told so
        return User(same, ("--userns", "keep-id") if os.getuid() != 0 else ())
    security = engine.security()
    if REMAPPED in security:
        raise NoContainer(
            f"{engine.name} gives containers user ids of their own (userns-remap), none of which is you: use Podman, "
            "or a Docker without that"
        )
    # where it is rootless, root inside is who runs the engine, and every other id a subordinate one
    return User("0:0" if ROOTLESS in security else same)


def check_writable(folder: Path) -> None:
    """Raises NoContainer for a folder that only root's rights or a further group let the caller write: a container has
    neither. One that is not there yet will be the caller's; of one with an access list the mode says nothing."""
    if not os.path.exists(folder) or ACCESS_LISTS.intersection(_attributes(folder)):
        return
    found, uid, gid = folder.stat(), os.getuid(), os.getgid()
    shift = 6 if found.st_uid == uid else 3 if found.st_gid == gid else 0
    needed = os.W_OK | os.X_OK
    if found.st_mode >> shift & needed != needed:
        raise NoContainer(
            f"{folder} (of user {found.st_uid}, group {found.st_gid}, mode {stat.S_IMODE(found.st_mode):o}) cannot be "
            f"written in a container, where user {uid} has neither root's rights nor further groups: use a folder of "
            "your own or where=here"
        )


def _attributes(folder: Path) -> list[str]:
    """None where the file system has no such thing."""
    with suppress(OSError):
        return os.listxattr(folder)
    return []
