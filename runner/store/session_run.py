"""What a record looks like as an MLflow run. Pure: it knows no MLflow, and can be tested on its own."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner import errors
from runner.cell.cell import Cell, short_hash
from runner.errors import BadRecord
from runner.record import judgement, metrics
from runner.record import record as records
from runner.store import saved_views
from runner.store.run_page import run_description

Record = Mapping[str, Any]
CELL_TAGS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype")
NOTE_TAG = "mlflow.note.content"
SESSION_TAG = "session"
SCHEMA_TAG = "schema_version"
GATE_TAG = "gate_version"
"""Sessions that version 1 of the gate judged have no such tag."""
NAME_TAG = "decode_floor.name"
"""Our name of the run, whatever it is called (`mlflow run --run-name`)."""
COMMITTED_TAG = "decode_floor.committed"
DEFAULT_PROTOCOL = "paper"
GROUP_HASH_LENGTH = 6
PARAM_LENGTH, TAG_LENGTH = 6000, 5000  # limits of MLflow's: of params (cut without a word) since 2.8, of tags of 2.9


@dataclass(frozen=True)
class Dataset:
    """The model as a dataset input: name, digest (weights_id, cut to 36 characters), where it came from."""

    name: str
    digest: str
    source: str


@dataclass(frozen=True)
class View:
    """One run: what is compared (`metrics`, at step 0), the step series, and `files` (artifact path → text).

    Times are in milliseconds since the epoch; all points carry `finished_ms`: replaying doubles nothing.
    """

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
    files: dict[str, str]
    digest: str


def view(record: Record) -> View:
    """The run of a record. Raises BadRecord where the record lacks what a run needs."""
    try:
        return _view(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadRecord(f"damaged record ({type(error).__name__}: {error})") from error


def _view(record: Record) -> View:
    session = record["session"]
    started = int(session["started_ms"])
    series_path, series_name = metrics.STEP_SERIES
    return View(
        session=str(session["id"]),
        name=run_name(record),
        status=run_status(record),
        started_ms=started,
        finished_ms=int(session.get("finished_ms") or started),
        params={name: value[:PARAM_LENGTH] for name, value in _params(record).items()},
        metrics=_metrics(record),
        series_name=series_name,
        series=tuple(float(value) for value in metrics.lookup(record, series_path) or ()),
        tags={name: value[:TAG_LENGTH] for name, value in _tags(record).items()},
        dataset=_dataset(record),
        files=_files(record),
        digest=short_hash(record, 16),
    )


def run_name(record: Record) -> str:
    """What differs first, the session's index last: the UI cuts names at about 22 characters."""
    return f"{Cell.from_json(dict(record['cell'])).title} #{record['session']['index']}"


def group(record: Record) -> str:
    """What is alike in the sessions that may be averaged, for the eye, and a short hash of all of it."""
    protocol, keys = record["protocol"], record["keys"]
    alike = [protocol, *(keys.get(name) for name in ("cell_key", "code_key", "env_key"))]
    words = [Cell.from_json(dict(record["cell"])).title]
    if protocol["name"] != DEFAULT_PROTOCOL:
        words.append(str(protocol["name"]))
    return " ".join((*words, short_hash(alike, GROUP_HASH_LENGTH)))


def run_status(record: Record) -> str:
    """FINISHED for a valid session, KILLED for an interrupted one, FAILED for every other."""
    if record["outcome"]["status"] == "interrupted":
        return "KILLED"
    return "FINISHED" if records.is_measured(record) and record["valid"] else "FAILED"


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{each}" for name, each in sorted(value.items())) or "none"
    return "none" if value is None else str(value)


def _metrics(record: Record) -> dict[str, float]:
    """In the order of the views' sections: the run's page lists them as they were logged."""
    rank = {name: place for place, name in enumerate((*saved_views.OPEN_SECTIONS, *saved_views.CLOSED_SECTIONS))}
    found = metrics.values(record)
    return {name: found[name] for name in sorted(found, key=lambda name: rank.get(name.partition("/")[0], len(rank)))}


def _params(record: Record) -> dict[str, str]:
    """Resolved fields under dotted names: MLflow logs bare `-P` names itself and refuses a second text."""
    session = {name: record["session"][name] for name in ("study", "index", "seed")}
    sections = {
        "cell": record["cell"],
        "scheme": record["model"].get("scheme", {}),
        "protocol": record["protocol"],
        "session": session,
        "environment": record.get("environment", {}),
        "actual": record.get("actual", {}),
        "host": record.get("host", {}),
        "container": record.get("container", {}),
    }
    return {f"{name}.{field}": _word(value) for name, fields in sections.items() for field, value in fields.items()}


def _reason(record: Record) -> str:
    """Empty for a valid session, else the error's short name."""
    if records.is_measured(record):
        return "" if record["valid"] else errors.InvalidSession.reason
    return str(record["outcome"].get("reason") or record["outcome"]["status"])


def _exit_code(record: Record) -> str:
    """What `python -m runner` exits with; the worker's own code stands in the record."""
    codes = {"": 0} | {kind.reason: kind.exit_code for kind in errors.family()}
    return str(codes.get(_reason(record), errors.DecodeFloorError.exit_code))


def _tags(record: Record) -> dict[str, str]:
    session, cell, outcome = record["session"], record["cell"], record["outcome"]
    return {
        SCHEMA_TAG: str(record["schema_version"]),
        "cell": Cell.from_json(dict(cell)).title,
        saved_views.GROUP_TAG: group(record),
        **{name: str(cell[name]) for name in CELL_TAGS},
        **{name: str(key) for name, key in record["keys"].items()},
        "study": session["study"],
        SESSION_TAG: str(session["id"]),
        "index": str(session["index"]),
        "protocol": record["protocol"]["name"],
        "valid": "true" if record["valid"] else "false",
        "flags": ",".join(judgement.marks(record)),
        "reasons": "; ".join(record["reasons"]),
        "reason": _reason(record),
        "message": str(outcome.get("message") or ""),
        "status": outcome["status"],
        "exit_code": _exit_code(record),
        **({GATE_TAG: str(record["gate"]["gate_version"])} if metrics.lookup(record, "gate.gate_version") else {}),
        **{name: record["container"][name] for name in ("image", "digest") if "container" in record},
        NAME_TAG: run_name(record),
        NOTE_TAG: run_description(record),
    }


def _dataset(record: Record) -> Dataset:
    weights_id = str(record["cell"]["weights_id"])
    kind = "synthetic" if weights_id.startswith("synthetic") else str(record["request"].get("weights", "hub"))
    source = {"kind": kind, "weights_id": weights_id, "shape": record["model"]["shape"]}
    return Dataset(str(record["model"]["name"]), weights_id[:36], json.dumps(source))


def _files(record: Record) -> dict[str, str]:
    files = {"record.json": records.dump(record)}
    for moment, snapshot in (record.get("snapshots") or {}).items():
        files[f"snapshots/{moment}.json"] = json.dumps(snapshot, indent=2) + "\n"
    if record.get("kernels"):
        files["kernels.csv"] = _kernels_csv(record["kernels"])
    if record["outcome"].get("last_output"):
        files["last_output.txt"] = "\n".join(record["outcome"]["last_output"]) + "\n"
    return files


def _kernels_csv(kernels: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=("name", "count", "us"), extrasaction="ignore")
    writer.writeheader()
    writer.writerows(kernels)
    return text.getvalue()
