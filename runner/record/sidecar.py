"""The sidecar: a file beside a spooled record with the id of the run that MLflow created for it.

If the server was unreachable during `mlflow run`, `import` later writes the record into that run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from runner.files import plainfile
from runner.record.record import write_text_durably

RUN_ID = re.compile(r"[A-Za-z0-9][\w-]{0,255}")


def sidecar_path(record_path: Path) -> Path:
    """Returns `<record>.json.run-id`."""
    return record_path.with_name(f"{record_path.name}.run-id")


def remember_run(record_path: Path, run_id: str) -> None:
    """Writes the run's id beside the record, which need not exist yet. Raises DiskFull."""
    write_text_durably(sidecar_path(record_path), f"{run_id}\n")


def forget_runs(record_paths: Iterable[Path]) -> None:
    """Deletes the sidecars of records that were never written."""
    for path in record_paths:
        with suppress(OSError):  # there is none, or it belongs to another user
            sidecar_path(path).unlink()


def remembered_run(record_path: Path) -> str | None:
    """Returns the run's id beside the record; None if there is no valid one."""
    try:
        text = plainfile.read_text(sidecar_path(record_path)).strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if RUN_ID.fullmatch(text) else None
