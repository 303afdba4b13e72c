"""The manifest of an A/B: `ab.json` beside its records. What was declared, and every session that was measured."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from runner import failures
from runner.ab.arms import NAMES, Arm, Pair, published
from runner.cell.cell import Cell, short_hash, short_weights_id
from runner.cell.jsonform import from_json, to_json
from runner.cell.protocol import Protocol
from runner.errors import BadRecord, BadValue
from runner.files import jsontext, plainfile
from runner.record import spool
from runner.record.record import write_text_durably
from runner.record.spool import MANIFEST_NAME

SCHEMA_VERSION = 1
ID_LENGTH = 12
LONGEST_BLOCK = 2  # sessions of each arm
ORDERS = {1: ("ab", "ba"), 2: ("abba", "baab")}


@dataclass(frozen=True)
class ArmEntry:
    """An arm as declared: its value of the field, a weights_id in place of a folder's path, and its resolved cell."""

    value: str
    cell: Cell
    cell_key: str

    @property
    def word(self) -> str:
        """The value in a name that a person reads."""
        return short_weights_id(self.value) if self.value == self.cell.weights_id else self.value


@dataclass(frozen=True)
class SessionEntry:
    """One session, in the order of measuring: `file` is its record's name in the manifest's folder; `cooled_s` seconds
    were waited before it for a hot card."""

    index: int
    arm: str
    session: str
    file: str
    valid: bool
    cooled_s: float


@dataclass(frozen=True)
class Block:
    """Sessions of both arms on one host. `order` is what was to be measured; complete when all of it is, and valid."""

    host_id: str
    order: str
    sessions: tuple[SessionEntry, ...]

    @property
    def is_complete(self) -> bool:
        return len(self.sessions) == len(self.order) and self.is_sound

    @property
    def is_sound(self) -> bool:
        return all(each.valid for each in self.sessions)

    @property
    def next_arm(self) -> str:
        return self.order[len(self.sessions)]


@dataclass(frozen=True)
class Declared:
    """What was said before the first session: sessions of each arm, and by how many they may grow if the interval at
    that size is wider than wanted."""

    sessions: int
    extension: int


@dataclass(frozen=True)
class Manifest:
    """`implied` maps what differs beside the field to (a's, b's); `asked` is every number of sessions of each arm that
    was ever asked for, in order. Whatever was measured stays in `blocks`."""

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
    def own_id(self) -> str:
        """Hash of what is compared and how."""
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
        """Such as `eager/graph qwen2.5-7b 2048 bf16 static h200`: the arms, and what they share."""
        a, b = self.arms["a"], self.arms["b"]
        what = "A/A" if self.field == "none" else f"{a.word}/{b.word}"
        shared = [word for word in a.cell.words if word in b.cell.words]
        return " ".join((what, *shared, a.cell.gpu))

    @property
    def complete(self) -> tuple[Block, ...]:
        """The blocks that count."""
        return tuple(block for block in self.blocks if block.is_complete)

    @property
    def done(self) -> int:
        """Sessions of each arm in complete blocks."""
        return sum(len(block.order) for block in self.complete) // 2

    @property
    def sessions(self) -> tuple[SessionEntry, ...]:
        """All of them, used or not."""
        return tuple(entry for block in self.blocks for entry in block.sessions)

    @property
    def as_declared(self) -> bool:
        """True if never more was asked for than was declared."""
        return max(self.asked) in (self.declared.sessions, self.declared.sessions + self.declared.extension)

    @property
    def text(self) -> str:
        """The manifest as its file has it."""
        return json.dumps(to_json(self), indent=1) + "\n"


def declare(pair: Pair, sessions: int, extension: int) -> Manifest:
    """A new manifest. Its id is a hash of what is compared and how, not of how often: more sessions continue it."""
    plan = pair.a.plan
    unnamed = Manifest(
        id="",
        field=pair.field,
        arms={arm.name: _entry(pair.field, arm) for arm in pair.arms},
        implied=pair.implied,
        protocol=plan.protocol,
        seed=plan.seed,
        study=plan.study,
        declared=Declared(sessions, extension),
        asked=(sessions,),
        blocks=(),
    )
    return replace(unnamed, id=unnamed.own_id)


def folder_of(spool: Path, manifest: Manifest) -> Path:
    """Where its manifest and records lie: `<spool>/ab-<model>-<ctx>-<what>-<id>`."""
    a, b = manifest.arms["a"], manifest.arms["b"]
    what = "aa" if manifest.field == "none" else f"{a.word}-{b.word}"
    words = (a.cell.model, str(a.cell.ctx), what, manifest.id)
    return spool / ("ab-" + "-".join(words).replace("/", "_").replace(":", "="))


def write(manifest: Manifest, folder: Path) -> None:
    """Write it durably: after a crash the folder has the manifest of before or of after the last session."""
    write_text_durably(folder / MANIFEST_NAME, manifest.text)


def read(path: Path) -> Manifest:
    """The manifest of a file. Raises BadRecord where it is damaged or of another version."""
    try:
        return parse(plainfile.read_text(path), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BadRecord(f"{path}: cannot be read ({failures.reason(error)})") from error


def parse(text: str, name: str) -> Manifest:
    """A manifest from its JSON text. Raises BadRecord, naming `name`, where it is none."""
    try:
        data = jsontext.loads(text)
        version = data["schema_version"]
    except (ValueError, TypeError, KeyError) as error:
        raise BadRecord(f"{name}: not a manifest of an A/B ({type(error).__name__}: {error})") from error
    if version != SCHEMA_VERSION:
        raise BadRecord(f"{name}: a manifest of version {version!r}, this version reads {SCHEMA_VERSION}")
    try:
        return _checked(from_json(Manifest, data))
    except ValueError as error:
        raise BadRecord(f"{name}: damaged manifest ({error})") from error


def _checked(manifest: Manifest) -> Manifest:
    """Returns the manifest with its arms a and b. Raises ValueError where one is missing, or where a session is of
    another arm or its file in another folder."""
    for entry in manifest.sessions:
        if entry.arm not in NAMES:
            raise ValueError(f"session {entry.session} is of arm {entry.arm!r}, which is neither a nor b")
        if Path(entry.file).name != entry.file:
            raise ValueError(f"{entry.file!r} is no file's plain name")
    for name in NAMES:
        if name not in manifest.arms:
            raise ValueError(f"arms.{name} is missing")
    return replace(manifest, arms={name: _published(manifest.field, manifest.arms[name]) for name in NAMES})


def _entry(field: str, arm: Arm) -> ArmEntry:
    return _published(field, ArmEntry(arm.value, arm.plan.cell, arm.plan.cell.key))


def _published(field: str, arm: ArmEntry) -> ArmEntry:
    """Returns the arm without the path of a folder of weights, which older manifests have: it goes no further than
    their file."""
    return replace(arm, value=published(field, arm.value, arm.cell.weights_id))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Measure this A/B alone. Raises BadValue while another process does, or where the folder cannot be written,
    DiskFull."""
    with _opened_lock(folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadValue(f"{folder}: another process is measuring this A/B: wait for it to end") from error
        yield


def _opened_lock(folder: Path) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return plainfile.opened_lock(folder / ".lock")
    except OSError as error:
        raise spool.unusable(error, folder) from error
