"""The user that the worker runs as in a container: the one that is the caller outside.

So the worker can write the caller's spool, and the caller owns the records.
"""

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
    """A user in a container.

    `ids` are user and group inside. `namespace` are the engine's options that map them to the caller's.
    """

    ids: str
    namespace: tuple[str, ...] = ()


def caller(engine: Engine) -> User:
    """Returns the user that is the caller outside a container of this engine.

    Raises NoContainer if there is no such user, or if the engine does not answer.
    """
    ids = f"{os.getuid()}:{os.getgid()}"
    if engine.name == PODMAN:
        # rootless Podman maps all ids to other ones, unless this option keeps them
        return User(ids, ("--userns", "keep-id") if os.getuid() != 0 else ())
    security = engine.security()
    if REMAPPED in security:
        raise NoContainer(
            f"{engine.name} remaps user ids (userns-remap), so no user of a container is you: use Podman, "
            "or Docker without userns-remap"
        )
    # in rootless Docker, root inside is the user who runs the engine; all other ids are subordinate
    return User("0:0" if ROOTLESS in security else ids)


def check_writable(folder: Path) -> None:
    """Raises NoContainer for a folder that the caller can write only as root or by a supplementary group.

    A container has neither. A missing folder will be the caller's own. A folder with an access list is not checked,
    because its mode says nothing.
    """
    if not os.path.exists(folder) or ACCESS_LISTS.intersection(_attributes(folder)):
        return
    status, uid, gid = folder.stat(), os.getuid(), os.getgid()
    shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
    needed = os.W_OK | os.X_OK
    if status.st_mode >> shift & needed != needed:
        raise NoContainer(
            f"{folder} (of user {status.st_uid}, group {status.st_gid}, mode {stat.S_IMODE(status.st_mode):o}) cannot "
            f"be written in a container, where user {uid} has neither root's rights nor supplementary groups: use a "
            "folder of your own or where=here"
        )


def _attributes(folder: Path) -> list[str]:
    """Returns the names of the extended attributes, empty if the file system has none."""
    with suppress(OSError):
        return os.listxattr(folder)
    return []
