"""Manifest of an A/B: the file `ab.json` beside its records, with the declaration and every measured session."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from runner import failures
from runner.ab.arms import NAMES, Arm, Pair, published_value
from runner.cell.cell import Cell, short_hash, short_weights_id
from runner.cell.jsonform import from_json, to_json
from runner.cell.protocol import Protocol
from runner.errors import BadRecord, BadValue
from runner.files import jsontext, plainfile
from runner.plan.request import NONE
from runner.record import spool
from runner.record.record import OTHER_VERSION, write_text_durably
from runner.record.spool import MANIFEST_NAME

SCHEMA_VERSION = 1
RESTORE = "restore the file, or move its folder away and measure the A/B again"
ID_LENGTH = 12
LONGEST_BLOCK = 2  # sessions of each arm
FEWEST_FOR_AN_INTERVAL = 5
"""Sessions of each arm below which a comparison has no interval and no verdict."""
ORDERS = {1: ("ab", "ba"), 2: ("abba", "baab")}


@dataclass(frozen=True)
class ArmEntry:
    """An arm as declared: its value of the field (a weights_id in place of a folder's path) and its resolved cell."""

    value: str
    cell: Cell
    cell_key: str

    @property
    def word(self) -> str:
        """Returns the value for titles, with a weights_id shortened."""
        return short_weights_id(self.value) if self.value == self.cell.weights_id else self.value


@dataclass(frozen=True)
class SessionEntry:
    """One measured session. `file` is the name of its record in the manifest's folder, `cooled_s` the cool-down before
    it in seconds."""

    index: int
    arm: str
    session: str
    file: str
    valid: bool
    cooled_s: float


@dataclass(frozen=True)
class Block:
    """Sessions of both arms on one host, planned in `order`. A complete block has all of them, each valid."""

    host_id: str
    order: str
    sessions: tuple[SessionEntry, ...]

    @property
    def is_complete(self) -> bool:
        return len(self.sessions) == len(self.order) and self.is_sound

    @property
    def is_sound(self) -> bool:
        return all(entry.valid for entry in self.sessions)

    @property
    def next_arm(self) -> str:
        return self.order[len(self.sessions)]


@dataclass(frozen=True)
class Declared:
    """Sessions of each arm as declared before the first session, and by how many they may be extended if the interval
    is too wide then."""

    sessions: int
    extension: int


@dataclass(frozen=True)
class Manifest:
    """An A/B as declared and measured. `blocks` has every measured session.

    `implied` maps the cell fields that differ besides `field` to (value of a, value of b). `asked` has every requested
    number of sessions of each arm, in order.
    """

    id: str
    field: str
    arms: dict[str, ArmEntry]
    implied: dict[str, tuple[Any, Any]]
    protocol: Protocol
    seed: int
    study: str
    declared: Declared
    asked: tuple[int, ...]
    blocks: tuple[Block, ...]
    schema_version: int = SCHEMA_VERSION

    @property
    def computed_id(self) -> str:
        """Returns the hash of what is compared and how."""
        compared = {
            "field": self.field,
            "arms": {name: arm.cell_key for name, arm in self.arms.items()},
            "protocol": to_json(self.protocol),
            "seed": self.seed,
            "study": self.study,
        }
        return short_hash(compared, ID_LENGTH)

    @property
    def title(self) -> str:
        """Returns the arms and what they share, such as `eager/graph qwen2.5-7b 2048 bf16 static h200`."""
        a, b = self.arms["a"], self.arms["b"]
        compared = "A/A" if self.field == NONE else f"{a.word}/{b.word}"
        shared = [word for word in a.cell.words if word in b.cell.words]
        return " ".join((compared, *shared, a.cell.gpu))

    @property
    def heading(self) -> str:
        """Returns the title, which says whether it is an A/B or an A/A."""
        return self.title if self.field == NONE else f"A/B {self.title}"

    @property
    def complete(self) -> tuple[Block, ...]:
        """Returns the complete blocks."""
        return tuple(block for block in self.blocks if block.is_complete)

    @property
    def done(self) -> int:
        """Returns the number of sessions of each arm in complete blocks."""
        return sum(len(block.order) for block in self.complete) // 2

    @property
    def sessions(self) -> tuple[SessionEntry, ...]:
        """Returns all sessions, used or not."""
        return tuple(entry for block in self.blocks for entry in block.sessions)

    @property
    def as_declared(self) -> bool:
        """Returns whether the largest number of sessions that was requested is the declared one, without or with the
        extension."""
        return max(self.asked) in (self.declared.sessions, self.declared.sessions + self.declared.extension)

    @property
    def text(self) -> str:
        """Returns the manifest as JSON, as its file contains it."""
        return json.dumps(to_json(self), indent=1) + "\n"


def declare(pair: Pair, sessions: int, extension: int) -> Manifest:
    """Returns a new manifest. Its id does not depend on the number of sessions: more sessions continue the same A/B."""
    plan = pair.a.plan
    unnamed = Manifest(
        id="",
        field=pair.field,
        arms={arm.name: _arm_entry(pair.field, arm) for arm in pair.arms},
        implied=pair.implied,
        protocol=plan.protocol,
        seed=plan.seed,
        study=plan.study,
        declared=Declared(sessions, extension),
        asked=(sessions,),
        blocks=(),
    )
    return replace(unnamed, id=unnamed.computed_id)


def current(declared: Manifest, folder: Path) -> Manifest:
    """Returns the manifest of the folder, or the declared one if it has none. Raises BadRecord as `read` does."""
    path = folder / MANIFEST_NAME
    return read(path) if path.exists() else declared


def folder_of(spool: Path, manifest: Manifest) -> Path:
    """Returns the folder of the manifest and its records: `<spool>/ab-<model>-<ctx>-<arms>-<id>`."""
    a, b = manifest.arms["a"], manifest.arms["b"]
    compared = "aa" if manifest.field == NONE else f"{a.word}-{b.word}"
    words = (a.cell.model, str(a.cell.ctx), compared, manifest.id)
    return spool / ("ab-" + "-".join(words).replace("/", "_").replace(":", "="))


def write(manifest: Manifest, folder: Path) -> None:
    """Writes the manifest durably: after a crash the folder has either the previous or the new one, whole."""
    write_text_durably(folder / MANIFEST_NAME, manifest.text)


def read(path: Path) -> Manifest:
    """Reads a manifest. Raises BadRecord if the file is unreadable, damaged or of another version."""
    try:
        return parse(plainfile.read_text(path), str(path))
    except (OSError, UnicodeDecodeError) as error:
        advice = failures.advice(error, RESTORE)
        raise BadRecord(f"{path}: cannot be read ({failures.reason(error)}): {advice}") from error


def parse(text: str, name: str) -> Manifest:
    """Returns the manifest of a JSON text. Raises BadRecord, with `name` in its message, if the text is not one."""
    try:
        data = jsontext.loads(text)
        version = data["schema_version"]
    except (ValueError, TypeError, KeyError) as error:
        fault = f"not a manifest of an A/B ({type(error).__name__}: {error})"
        raise BadRecord(f"{name}: {fault}: {RESTORE}") from error
    if version != SCHEMA_VERSION:
        raise BadRecord(
            f"{name}: it has schema_version {version!r}, this version reads {SCHEMA_VERSION}: {OTHER_VERSION}"
        )
    try:
        return _checked(from_json(Manifest, data))
    except ValueError as error:
        raise BadRecord(f"{name}: damaged manifest ({error}): {RESTORE}") from error


def _checked(manifest: Manifest) -> Manifest:
    """Returns the manifest with its arms a and b and without private paths.

    Raises ValueError if an arm is missing, or if a session has another arm or a file in another folder.
    """
    for entry in manifest.sessions:
        if entry.arm not in NAMES:
            raise ValueError(f"session {entry.session} is of arm {entry.arm!r}, which is neither a nor b")
        if Path(entry.file).name != entry.file:
            raise ValueError(f"{entry.file!r} is not a plain file name")
    for name in NAMES:
        if name not in manifest.arms:
            raise ValueError(f"arms.{name} is missing")
    return replace(manifest, arms={name: _without_path(manifest.field, manifest.arms[name]) for name in NAMES})


def _arm_entry(field: str, arm: Arm) -> ArmEntry:
    return _without_path(field, ArmEntry(arm.value, arm.plan.cell, arm.plan.cell.key))


def _without_path(field: str, arm: ArmEntry) -> ArmEntry:
    """Returns the arm without the path to a folder of weights, which older manifests have."""
    return replace(arm, value=published_value(field, arm.value, arm.cell.weights_id))


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Holds the lock of an A/B's folder, which is made if necessary.

    Raises BadValue if another process holds the lock or the folder cannot be written, DiskFull if it has no space.
    """
    with _opened_lock(folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadValue(f"{folder}: another process is measuring this A/B: wait until it has ended") from error
        yield


def _opened_lock(folder: Path) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return plainfile.opened_lock(folder / ".lock")
    except OSError as error:
        raise spool.unusable(error, folder) from error
