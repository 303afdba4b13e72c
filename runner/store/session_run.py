"""Content of the MLflow run of a record, as plain data without MLflow."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from runner import errors
from runner.cell.cell import Cell, short_hash
from runner.cell.jsonform import to_json
from runner.cell.vocabulary import DEFAULT_PROTOCOL
from runner.hostcondition import condition
from runner.record import judgement, metrics
from runner.record import record as records
from runner.record.sections.gate import GateVersion2
from runner.record.sections.passes import KernelTime
from runner.record.sessionrecord import MeasuredRecord, SessionRecord
from runner.store import saved_views
from runner.store.run_page import run_description

CELL_TAGS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype")
NOTE_TAG = "mlflow.note.content"
SESSION_TAG = "session"
SCHEMA_TAG = "schema_version"
GATE_TAG = "gate_version"
"""Sessions with version 1 of the gate have no such tag."""
NAME_TAG = "decode_floor.name"
"""Tag with the run's name as this program chose it. A user may have chosen another (`mlflow run --run-name`)."""
COMMITTED_TAG = "decode_floor.committed"
OWNER_TAG = "decode_floor.owner"
"""Tag with the identity of the process that will close the run (`processes.proc.Process`)."""
PROJECT = "decode-floor"
"""This project's name, which replaces a checkout's private folder in SOURCE_TAG."""
SOURCE_TAG = "mlflow.source.name"
"""MLflow's tag with the place of the project whose command made the run."""
GROUP_HASH_LENGTH = 6
PARAM_LENGTH, TAG_LENGTH = 6000, 5000  # MLflow's limits: params since 2.8 (truncated silently), tags of 2.9


@dataclass(frozen=True)
class Dataset:
    """Model as a dataset input: name, digest (weights_id, truncated to 36 characters) and source as JSON."""

    name: str
    digest: str
    source: str


@dataclass(frozen=True)
class View:
    """Content of one run: `metrics` at step 0, the series of step times, and `files` (artifact path → text).

    Times are in milliseconds since the epoch. All points have the time `finished_ms`, so that a repeated commit adds
    none. `text` is the content of the record's file, None if there is none.
    """

    record: SessionRecord
    text: str | None

    session: str
    name: str
    status: str
    started_ms: int
    finished_ms: int
    params: dict[str, str]
    metrics: dict[str, float]
    series_name: str
    series: tuple[float, ...]
    tags: dict[str, str]
    dataset: Dataset

    @cached_property
    def files(self) -> dict[str, str]:
        """Returns artifact path → text. Computed on demand, as `digest` is: a table needs neither, and both take
        longer than the rest."""
        return {"record.json": self.text or records.dump(self.record), **_files(self.record)}

    @cached_property
    def digest(self) -> str:
        """Returns a short hash of the whole record."""
        return short_hash(to_json(self.record), 16)


def view(record: SessionRecord, text: str | None = None) -> View:
    """Returns the run of a record. `text` is the content of the record's file, whose order of fields may differ from
    the type's."""
    started_ms = record.session.started_ms
    return View(
        record=record,
        text=text,
        session=record.session.id,
        name=run_name(record),
        status=run_status(record),
        started_ms=started_ms,
        finished_ms=record.session.finished_ms if isinstance(record, MeasuredRecord) else started_ms,
        params={name: value[:PARAM_LENGTH] for name, value in _params(record).items()},
        metrics=_metrics(record),
        series_name=metrics.STEP_SERIES,
        series=metrics.step_series_ms(record),
        tags={name: value[:TAG_LENGTH] for name, value in _tags(record).items()},
        dataset=_dataset(record),
    )


def run_name(record: SessionRecord) -> str:
    """Returns the cell's name and the session's index."""
    return f"{_cell_name(record.cell)} #{record.session.index}"


def _cell_name(cell: Cell) -> str:
    """Returns the cell's words, beginning with those in which cells differ most: MLflow shows about 22 characters. Its
    column of datasets has the model, too."""
    model, ctx, quant, *others = cell.words
    return " ".join((cell.gpu, cell.runtime, quant, ctx, model, *(word for word in others if word != cell.runtime)))


def group(record: SessionRecord) -> str:
    """Returns the name of the group of sessions that may be averaged, with a short hash of all that they share."""
    keys = to_json(record.keys)
    shared = [to_json(record.protocol), *(keys.get(name) for name in ("cell_key", "code_key", "env_key"))]
    words = [_cell_name(record.cell)]
    if (declared := condition.requested(record.request)) is not None:
        words.append(declared)
        shared.append(declared)
    if record.protocol.name != DEFAULT_PROTOCOL:
        words.append(record.protocol.name)
    return " ".join((*words, short_hash(shared, GROUP_HASH_LENGTH)))


def run_status(record: SessionRecord) -> str:
    """Returns FINISHED for a valid session, KILLED for an interrupted one, FAILED for every other."""
    if record.outcome.status == "interrupted":
        return "KILLED"
    return "FINISHED" if isinstance(record, MeasuredRecord) and record.valid else "FAILED"


def _metrics(record: SessionRecord) -> dict[str, float]:
    """Returns the metrics in the order of the views' sections. The run's page lists them as logged."""
    rank = {name: place for place, name in enumerate(saved_views.SECTIONS)}
    values = metrics.values(record)
    return {name: values[name] for name in sorted(values, key=lambda name: rank.get(name.partition("/")[0], len(rank)))}


def _params(record: SessionRecord) -> dict[str, str]:
    """Returns the resolved fields under dotted names: MLflow logs plain `-P` names and refuses a second value."""
    session = {"study": record.session.study, "index": record.session.index, "seed": record.session.seed}
    sections: dict[str, object] = {
        "cell": record.cell,
        "scheme": record.model.scheme,
        "protocol": record.protocol,
        "session": session,
        "container": record.container,
    }
    if isinstance(record, MeasuredRecord):
        sections |= {"environment": record.environment, "actual": record.actual, "host": record.host}
        sections["host_condition"] = record.host_condition
    return {param: text for name, section in sections.items() if section for param, text in _flat(name, section)}


def _flat(name: str, section: object) -> list[tuple[str, str]]:
    """Returns a dotted name and the text of each field of a section's JSON."""
    return [(f"{name}.{field}", _word(value)) for field, value in to_json(section).items()]


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{setting}" for name, setting in sorted(value.items())) or "none"
    return "none" if value is None else str(value)


def _reason(record: SessionRecord) -> str:
    """Returns the short name of the session's error, empty for a valid session."""
    if isinstance(record, MeasuredRecord):
        return "" if record.valid else errors.InvalidSession.reason
    return record.outcome.reason or record.outcome.status


def _exit_code(record: SessionRecord) -> str:
    """Returns the exit code of `python -m runner`; the worker's exit code is in the record."""
    codes = {"": 0} | {kind.reason: kind.exit_code for kind in errors.family()}
    return str(codes.get(_reason(record), errors.DecodeFloorError.exit_code))


def _tags(record: SessionRecord) -> dict[str, str]:
    return {
        SCHEMA_TAG: str(record.schema_version),
        "cell": record.cell.title,
        saved_views.GROUP_TAG: group(record),
        **{name: str(getattr(record.cell, name)) for name in CELL_TAGS},
        **{name: key for name, key in to_json(record.keys).items() if name != "code_files"},
        "study": record.session.study,
        SESSION_TAG: record.session.id,
        "index": str(record.session.index),
        "protocol": record.protocol.name,
        "valid": "true" if record.valid else "false",
        "flags": ",".join(judgement.displayed_flags(record)),
        "reasons": "; ".join(record.reasons),
        "reason": _reason(record),
        "message": record.outcome.message or "",
        "status": record.outcome.status,
        "exit_code": _exit_code(record),
        **_short_tags(record),
        **_gate_tag(record),
        **_condition_tag(record),
        **({"image": record.container.image, "digest": record.container.digest} if record.container else {}),
        NAME_TAG: run_name(record),
        NOTE_TAG: run_description(record),
    }


def _short_tags(record: SessionRecord) -> dict[str, str]:
    values = metrics.values(record)
    return {tag: f"{values[name]:.3f}" for tag, name in saved_views.SHORT_TAGS.items() if name in values}


def _gate_tag(record: SessionRecord) -> dict[str, str]:
    if isinstance(record, MeasuredRecord) and isinstance(record.gate, GateVersion2):
        return {GATE_TAG: str(record.gate.gate_version)}
    return {}


def _condition_tag(record: SessionRecord) -> dict[str, str]:
    declared = condition.requested(record.request)
    return {} if declared is None else {condition.FIELD: declared}


def _dataset(record: SessionRecord) -> Dataset:
    weights_id = record.cell.weights_id
    kind = "synthetic" if weights_id.startswith("synthetic") else record.request.get("weights", "hub")
    source = {"kind": kind, "weights_id": weights_id, "shape": to_json(record.model.shape)}
    return Dataset(record.model.name, weights_id[:36], json.dumps(source))


def _files(record: SessionRecord) -> dict[str, str]:
    files = {}
    if isinstance(record, MeasuredRecord):
        for moment, snapshot in to_json(record.snapshots).items():
            files[f"snapshots/{moment}.json"] = json.dumps(snapshot, indent=2) + "\n"
        if record.kernels:
            files["kernels.csv"] = _kernels_csv(record.kernels)
    if record.outcome.last_output:
        files["last_output.txt"] = "\n".join(record.outcome.last_output) + "\n"
    return files


def _kernels_csv(kernels: Sequence[KernelTime]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("name", "count", "us"))
    writer.writerows((kernel.name, kernel.count, kernel.us) for kernel in kernels)
    return text.getvalue()
