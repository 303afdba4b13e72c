"""The sidecar: a file beside a spooled record that names the run MLflow made for it.

A record measured under `mlflow run` while the server was away is later imported into that very run.
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
    """`<record>.json.run-id`."""
    return record_path.with_name(f"{record_path.name}.run-id")


def remember_run(record_path: Path, run_id: str) -> None:
    """Write the run's id beside the record (before or after the record itself). Raises DiskFull."""
    write_text_durably(sidecar_path(record_path), f"{run_id}\n")


def forget_runs(record_paths: Iterable[Path]) -> None:
    """Remove what was written beside records that never came."""
    for path in record_paths:
        with suppress(OSError):  # none, or another user's
            sidecar_path(path).unlink()


def remembered_run(record_path: Path) -> str | None:
    """The run's id beside the record, None where there is none or it is not one."""
    try:
        text = plainfile.read_text(sidecar_path(record_path)).strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if RUN_ID.fullmatch(text) else None
