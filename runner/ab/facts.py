"""Facts of a session that the check of an A/B uses, from its record or from its run in a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.cell.fieldtypes import value_or_none
from runner.cell.jsonform import to_json
from runner.hostcondition import condition
from runner.record.record import ENV_KEY_VERSIONS
from runner.record.sections.head import ContainerInfo
from runner.record.sessionrecord import MeasuredRecord, SessionRecord

INTERPRETER = "the runner's own interpreter"


@dataclass(frozen=True)
class Facts:
    """Facts of one session. Times are milliseconds since the epoch.

    `stated` has the session's values of fields that the manifest states, too. `versions` are the environment's, by
    name. `reasons` say why the session is not valid, or how it ended without a measurement. `host_condition` is None on
    the host as it is.
    """

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
    host_condition: str | None = None


def record_facts(record: SessionRecord) -> Facts:
    """Returns the facts of a session from its record, also of a session that ended without a measurement."""
    session, measured = record.session, record if isinstance(record, MeasuredRecord) else None
    environment = to_json(measured.environment) if measured else {}
    stated = {f"session.{name}": getattr(session, name) for name in ("id", "index", "seed", "study")}
    return Facts(
        stated={**stated, "protocol": to_json(record.protocol)},
        cell_key=record.keys.cell_key,
        kernel=record.cell.kernel,
        host_id=measured.keys.host_id if measured else None,
        code_key=measured.keys.code_key if measured else None,
        place=place_of(value_or_none(record.container)),
        versions={name: environment.get(name) for name in ENV_KEY_VERSIONS},
        is_measured=measured is not None,
        is_valid=record.valid,
        reasons="; ".join(record.reasons),
        started_ms=session.started_ms,
        finished_ms=measured.session.finished_ms if measured else session.started_ms,
        host_condition=condition.requested(record.request),
    )


def place_of(container: ContainerInfo | None) -> str:
    """Returns where a session was measured. A digest identifies the image, since its name can move to another one."""
    return f"{container.engine}'s image {container.digest}" if container else INTERPRETER
