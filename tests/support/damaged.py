"""Files that look like records and are none, and records that tell lies: what verify, import and analysis refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.record import record
from tests.support.derive import derive, judge
from tests.support.records import example_record

Change = Callable[[dict[str, Any]], None]

DEEP = ("[" * 200_000, '{"a":' * 200_000, '{"schema_version": ' + "[" * 200_000)
"""JSON nested too deeply for Python."""


def _changed(change: Change) -> bytes:
    found = example_record()
    change(found)
    return json.dumps(found).encode()


def _only_short(found: dict[str, Any]) -> None:
    """Nothing but the first check is left, and all that follows is derived again."""
    found["gate"]["checks"] = found["gate"]["checks"][:1]
    derive(found)
    judge(found)


FILES: dict[str, bytes] = {
    "empty": b"",
    "cut": json.dumps(example_record()).encode()[:700],
    "binary": bytes(range(256)),
    "a-list": b"[]",
    "not-ours": b'{"name": "not ours"}',
    "nested": b"[" * 100_000,
    "huge": b" " * (record.MAXIMUM_BYTES + 1),
    "newer": _changed(lambda found: found.update(schema_version=99)),
    "empty-checks": _changed(lambda found: found["gate"].update(checks=[])),
    "string-step": _changed(lambda found: found["passes"]["wall"]["steps_ms"].__setitem__(0, "36")),
    "not-a-number": _changed(lambda found: found["passes"]["wall"]["steps_ms"].__setitem__(0, float("nan"))),
    "unknown-field": _changed(lambda found: found["cell"].update(surprise=1)),
    "no-shape": _changed(lambda found: found["model"].pop("shape")),
    "unknown-quant": _changed(lambda found: found["cell"].update(quant="int3")),
    "unknown-dtype": _changed(lambda found: found["cell"].update(dtype="fp7")),
    "passes-null": _changed(lambda found: found.update(passes=None)),
    "outcome-list": _changed(lambda found: found.update(outcome=[])),
    "keys-text": _changed(lambda found: found.update(keys="none")),
    "zero-steps": _changed(lambda found: found["passes"]["wall"].update(steps_ms=[0.0] * 30)),
    "gutted": _changed(_only_short),
}


def write(folder: Path) -> list[Path]:
    """One file for each, by name; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        (folder / f"{name}.json").write_bytes(content)
    return sorted(folder.glob("*.json"))
