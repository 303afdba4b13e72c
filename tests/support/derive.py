"""Example records, which tests change as JSON, through the functions that take the typed record."""

from __future__ import annotations

from typing import Any, get_args

from runner.cell.cell import Cell
from runner.cell.jsonform import from_json, hints, to_json
from runner.record import derive as derivation
from runner.record import gaterules, judgement, record
from runner.record.sections.gate import EvidenceVersion1, EvidenceVersion2, Gate, GateVersion1, GateVersion2
from runner.record.sections.head import SessionInfo
from runner.record.sections.quantities import Bytes, Floor, Latency
from runner.record.sections.surroundings import Cost, Environment, Probes
from runner.record.sessionrecord import FailedRecord, MeasuredRecord

DERIVED = {"bytes": Bytes, "probes": Probes, "latency": Latency, "floor": Floor, "cost_s": Cost}


def typed(data: dict[str, Any]) -> Any:
    """Returns the record of a session, measured or not; what is not derived yet is 0."""
    return from_json(MeasuredRecord, _filled(data)) if is_measured(data) else from_json(FailedRecord, data)


def gate_of(data: dict[str, Any]) -> GateVersion1 | GateVersion2:
    """Returns the gate of a record's section; what is not derived yet is 0."""
    return from_json(GateVersion2 if "gate_version" in data else GateVersion1, _without_gaps(data, Gate))


def evidence_of(data: dict[str, Any]) -> EvidenceVersion1 | EvidenceVersion2:
    """Returns the evidence in a record's section."""
    return from_json(EvidenceVersion2 if "gate_version" in data else EvidenceVersion1, data)


def derive(data: dict[str, Any]) -> None:
    """Derives every number of a measured record, in place."""
    derived = derivation.rederived(typed(data))
    for name in DERIVED:
        data[name] = to_json(getattr(derived, name))
    data["gate"] = to_json(gaterules.gate(derived.gate))
    if "energy" in data:
        data["energy"] = to_json(derived.energy)


def judge(data: dict[str, Any]) -> None:
    """Sets `valid`, `reasons` and `flags` of a measured record, in place."""
    judged = judgement.with_judgement(typed(data))
    data |= {"valid": judged.valid, "reasons": list(judged.reasons), "flags": list(judged.flags)}


def _filled(data: dict[str, Any]) -> dict[str, Any]:
    sections = {name: _without_gaps(data.get(name, {}), kind) for name, kind in DERIVED.items()}
    gate = _without_gaps(data["gate"], Gate)
    return {"valid": False, "reasons": [], "flags": [], **data, **sections, "gate": gate}


def _without_gaps(section: dict[str, Any], kind: type) -> dict[str, Any]:
    numbers = [name for name, hint in hints(kind).items() if float in get_args(hint) or float in _scalars(hint)]
    return {**dict.fromkeys(numbers, 0.0), **section}


def _scalars(hint: Any) -> tuple[Any, ...]:
    return tuple(inner for each in get_args(hint) for inner in (each, *get_args(each)))


def is_measured(data: dict[str, Any]) -> bool:
    """Returns whether a record says that its session was measured."""
    return bool(data["outcome"]["status"] == "measured")


def env_key(environment: dict[str, Any]) -> str:
    """Returns the key of a record's section `environment`."""
    return record.env_key(from_json(Environment, environment))


def file_name(data: dict[str, Any]) -> str:
    """Returns the name of a record's file."""
    session = SessionInfo(data["session"]["id"], "", data["session"]["index"], seed=0, started_ms=0)
    return record.file_name(from_json(Cell, data["cell"]), session)
