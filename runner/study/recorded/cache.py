"""Files that keep what a command found out for the next one. A file that cannot be used is ignored, never an error."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.errors import DiskFull
from runner.files import plainfile
from runner.record.record import write_text_durably

MAXIMUM_BYTES = 2**30


def read(path: Path, form: str) -> Any | None:
    """Returns the JSON value that `write` kept with the same `form`; None if the file is missing, damaged or of another
    form."""
    try:
        digest, _, text = plainfile.read(path, MAXIMUM_BYTES).decode().partition("\n")
        return json.loads(text) if digest == _digest(form, text) else None
    except (OSError, ValueError):
        return None


def write(path: Path, form: str, value: Any) -> None:
    """Keeps a JSON value. `form` names how it was made: another version of the code asks for another one.

    A failure is ignored.
    """
    text = json.dumps(value, separators=(",", ":"))
    with suppress(OSError, DiskFull):
        write_text_durably(path, f"{_digest(form, text)}\n{text}")


def _digest(form: str, text: str) -> str:
    """Returns a hash that no other form, and no damaged text, has."""
    return hashlib.sha256(f"{form}\n{text}".encode()).hexdigest()
