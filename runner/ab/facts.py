"""What an A/B asks of one of its sessions: of its record, or of its run in a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.record import record

Record = Mapping[str, Any]
INTERPRETER = "the runner's own interpreter"


@dataclass(frozen=True)
class Facts:
    """`stated` maps what a manifest states, too, to its value here; `versions` are those of the environment, by name.
    `place` is where it was measured. `reasons` say why it is not valid, or how it ended without a measurement. Times
    are milliseconds since the epoch."""

    stated: Mapping[str, Any]
    cell_key: str
    kernel: str
    host_id: str | None
    code_key: str | None
    place: str
    versions: Mapping[str, str | None]
    is_measured: bool
    is_valid: bool
    reasons: str
    started_ms: int
    finished_ms: int


def of_record(found: Record) -> Facts:
    """The facts of a session's record, measured or not."""
    session, keys, environment = found["session"], found["keys"], found.get("environment", {})
    stated = {f"session.{name}": session[name] for name in ("id", "index", "seed", "study")}
    return Facts(
        stated={**stated, "protocol": found["protocol"]},
        cell_key=keys["cell_key"],
        kernel=found["cell"]["kernel"],
        host_id=keys.get("host_id"),
        code_key=keys.get("code_key"),
        place=place_of(found.get("container")),
        versions={name: environment.get(name) for name in record.ENV_KEY_VERSIONS},
        is_measured=record.is_measured(found),
        is_valid=bool(found["valid"]),
        reasons="; ".join(found["reasons"]),
        started_ms=int(session["started_ms"]),
        finished_ms=int(session.get("finished_ms") or session["started_ms"]),
    )


def place_of(container: Record | None) -> str:
    """Where a session was measured, from that section of its record. An image is known by its digest: its name can be
    given to another one."""
    return f"{container['engine']}'s image {container['digest']}" if container else INTERPRETER
