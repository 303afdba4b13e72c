"""Whom the worker runs as in its container: whoever there is the caller outside, so that the caller's spool can be
written and what is written there is the caller's."""

from __future__ import annotations

import os
from dataclasses import dataclass

from runner.containers.engine import PODMAN, Engine
from runner.errors import NoContainer

ROOTLESS, REMAPPED = "rootless", "userns"


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
            f"{engine.name} gives containers user ids of their own (userns-remap), none of which can write your spool: "
            "use Podman, or a Docker without that"
        )
    # where it is rootless, root inside is who runs the engine, and every other id a subordinate one
    return User("0:0" if ROOTLESS in security else same)
