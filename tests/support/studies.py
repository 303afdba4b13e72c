"""Studies of CPU cells, and what a spool knows of their sessions, as tests need them."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from runner.cell.protocol import NAMED
from runner.plan.request import Request
from runner.study.declared import Arms, Entry, Study
from runner.study.machines import ThisMachine
from runner.study.planned import Planned, plan_study
from runner.study.recorded.known import Known

CODE, ENVIRONMENT = "c0de", "e0"


def entry(arms: Arms | None = None, place: str = "s.yaml:1: matrix", **fields: str) -> Entry:
    """An entry of a CPU cell, unless the fields say otherwise."""
    return Entry(Request(**{"gpu": "cpu", "model": "tiny", "ctx": "64", "study": "s", **fields}), arms, place)


def study(*entries: Entry, sessions: int = 3) -> Study:
    return Study("s", sessions, 0, entries)


def planned(one: Entry) -> Planned:
    (found,) = plan_study(study(one), ThisMachine(()))
    return found


def known(of: Planned, started_ms: int = 0, folder: Path = Path("spool"), **changes: Any) -> Known:
    """A valid session of the entry's (first) cell, unless the changes say otherwise."""
    facts: dict[str, Any] = {
        "path": folder / f"{started_ms}.json",
        "session_id": f"{started_ms:016x}",
        "study": "s",
        "seed": 0,
        "index": 0,
        "started_ms": started_ms,
        "cell_key": of.keys[0],
        "protocol": NAMED["paper"],
        "status": "measured",
        "reason": None,
        "message": None,
        "signal": None,
        "valid": True,
        "reasons": (),
        "flags": (),
        "container": None,
        "code_key": CODE,
        "code_files": (),
        "env_key": ENVIRONMENT,
        "versions": {},
        "host_id": "h",
        "energy": False,
        "host_condition": None,
        "cost_s": {"total": 20.0},
    }
    return Known(**{**facts, **changes})


def failed(of: Planned, reason: str, started_ms: int = 0, **changes: Any) -> Known:
    """A session without a measurement."""
    facts = {"status": "failed", "valid": False, "reason": reason, "message": f"because of {reason}", "cost_s": {}}
    return known(of, started_ms, **{**facts, **changes})


def write(folder: Path, text: str, name: str = "s.yaml") -> Path:
    """Writes a study file. Returns its path."""
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path
