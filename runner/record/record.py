"""The record file: the complete result of a session as JSON. MLflow holds only a copy of it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import reprlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from runner import failures
from runner.cell.cell import Cell, short_hash
from runner.cell.fieldtypes import value_or_none
from runner.cell.jsonform import to_json
from runner.errors import BadRecord, DiskFull
from runner.files import jsontext, plainfile
from runner.record import sessionrecord
from runner.record.sections import head
from runner.record.sections.head import SessionInfo
from runner.record.sections.surroundings import Environment
from runner.record.sessionrecord import MeasuredRecord, SessionRecord
from runner.record.spool import reserve_path, temporary_path

SCHEMA_VERSION = sessionrecord.SCHEMA_VERSION
# Five series of 131072 steps, the longest context of the catalogue, take 9 MB.
MAXIMUM_BYTES = 32 * 2**20
# Fields of the section `environment` that env_key is a hash of.
ENV_KEY_VERSIONS = ("python", "torch", "cuda", "transformers", "triton", "kernel_package", "driver_major")
ENV_KEY_LENGTH = 12
RESTORE = "restore the file, or measure the session again"
OTHER_VERSION = "read it with the version of Decode Floor that wrote it, or with a newer one"
MEASURED, STATUSES = head.MEASURED, head.STATUSES
ALWAYS_PRESENT = tuple(field.name for field in fields(SessionRecord) if field.default is MISSING)
MEASURED_ONLY = tuple(
    field.name for field in fields(MeasuredRecord)[len(fields(SessionRecord)) :] if field.default is MISSING
)


def write_text_durably(path: Path, text: str) -> None:
    """Writes a file atomically and durably: to a temporary name, then fsync, rename, and fsync of the folder.

    Uses the space reserved for `path`, if any. Raises DiskFull if no space is left. A failure leaves no partial file.
    """
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            os.replace(reserve_path(path), temporary)
        # without O_TRUNC, which would free the reserved blocks
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o666), "w", encoding="utf-8") as file:
            with suppress(OSError):  # the process that reserved the space holds it already, or no lock is possible
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(text)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left to write {path}: free some, then run the command again") from error
        raise


def _sync_folder(path: Path) -> None:
    """Syncs a folder, so a new name in it survives a power failure."""
    with suppress(PermissionError):  # a folder without read permission cannot be opened
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def dump(record: SessionRecord) -> str:
    """Returns the record as JSON text with one line per top-level section."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in to_json(record).items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write(record: SessionRecord, path: Path) -> None:
    """Writes the record durably at `path`. Raises DiskFull."""
    write_text_durably(path, dump(record))


def parse(text: str, name: str) -> dict[str, Any]:
    """Returns the JSON object of a record's text. Raises BadRecord that names `name` if the text is truncated, of
    another schema, or lacks a section. `recompute.differences` checks the sections themselves."""
    try:
        data = jsontext.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise damaged(name, f"not a complete JSON file ({error})") from error
    if isinstance(data, dict) and "schema" in data:
        raise BadRecord(
            f"{name}: a file of the schema {reprlib.repr(data['schema'])}, not a record, which nothing verifies or "
            "imports: move it out of the folder of records"
        )
    if not isinstance(data, dict) or "schema_version" not in data:
        raise BadRecord(
            f"{name}: not a record of this project (no schema_version): remove it from the folder of records"
        )
    if data["schema_version"] != SCHEMA_VERSION:
        found = reprlib.repr(data["schema_version"])
        raise BadRecord(f"{name}: it has schema_version {found}, this version reads {SCHEMA_VERSION}: {OTHER_VERSION}")
    _check_sections(data, name)
    return data


def damaged(name: str, fault: str) -> BadRecord:
    """Returns the error for a file that is no correct record, with what to do about it."""
    return BadRecord(f"{name}: {fault}: {RESTORE}")


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not a number in JSON")


def _check_sections(data: dict[str, Any], name: str) -> None:
    outcome = data.get("outcome")
    status = outcome.get("status") if isinstance(outcome, dict) else None
    missing = [section for section in ALWAYS_PRESENT if section not in data]
    if status == MEASURED:
        missing += [section for section in MEASURED_ONLY if section not in data]
    if missing:
        raise damaged(name, f"damaged record, without {', '.join(missing)}")
    if status not in STATUSES:
        raise damaged(name, f"damaged record, unknown outcome {reprlib.repr(outcome)}")


def read(path: Path) -> dict[str, Any]:
    """Reads a record. Raises BadRecord if it cannot be read, is truncated, of another schema, or lacks a section."""
    return parse(_read_text(path), str(path))


def _read_text(path: Path) -> str:
    try:
        return plainfile.read_text(path, MAXIMUM_BYTES, "any record")
    except FileNotFoundError as error:
        raise damaged(str(path), "no such file or folder") from error
    except (OSError, UnicodeDecodeError) as error:
        advice = failures.advice(error, RESTORE)
        raise BadRecord(f"{path}: cannot be read ({failures.reason(error)}): {advice}") from error


def env_key(environment: Environment) -> str:
    """Returns a hash of the versions that a number depends on."""
    return env_key_of({name: value_or_none(getattr(environment, name)) for name in ENV_KEY_VERSIONS})


def env_key_of(versions: Mapping[str, str | None]) -> str:
    """Returns the hash of versions by their names, those of ENV_KEY_VERSIONS."""
    return short_hash(versions, ENV_KEY_LENGTH)


def version_difference(
    now: Mapping[str, str | None], before: Mapping[str, str | None], ignored: Collection[str] = ()
) -> str | None:
    """Returns the first version in `now` that differs from the one before, in words; None if none does."""
    for name, version in now.items():
        previous = before.get(name)
        if version != previous and name not in ignored:
            return f"{name} is {version}, and was {previous}"
    return None


def file_name(cell: Cell, session: SessionInfo) -> str:
    """Returns `<words of the cell>-<index>-<session id>.json`."""
    return f"{file_start(cell)}-{session.index}-{session.id}.json"


def file_start(cell: Cell) -> str:
    """Returns how the names of a cell's records begin."""
    return "-".join(cell.words).replace(":", "=")
