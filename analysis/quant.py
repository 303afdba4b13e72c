"""The quantisation table: what smaller weights should save by their bytes, and what the kernel makes of it.

A row's baseline is the unquantised cell that differs in nothing but the weights: same GPU, model, ctx, dtype, protocol,
runtime and cache. Where that was not measured it is the one in the other 16-bit dtype, whose bytes are the same; an
engine that runs no unquantised weights is held against eager. `against` says which it was. `ideal` is the baseline's
streamed bytes over the row's, `realised` the baseline's time over the row's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from analysis import intervals, paper
from analysis.sessions import Group, Record, group, measured, protocol_title
from runner import catalogue, floors, registry, vocabulary
from runner.metrics import lookup

Row = dict[str, Any]
UNQUANTISED = "bf16"
OF_AN_ENGINE = ("eager", "static")
PLACE = ("gpu", "model", "ctx")
CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype")
PAPER_DTYPE_BYTES = 2


def rows(records: Iterable[Record]) -> list[Row]:
    """One row per group of valid sessions of quantised cells and of their baselines, then one (`valid` false) per
    group of invalid ones, then the paper's; the newest code only."""
    found = measured(records)
    valid = group(record for record in found if record["valid"])
    packed = [each for each in valid if not _is_plain(each)]
    pairs = [(each, _baseline(each, valid)) for each in packed]
    baselines = {id(each): each for _, each in pairs if each is not None}
    table = [_row(each, each) for each in baselines.values()] + [_row(*pair) for pair in pairs]
    invalid = group(record for record in found if not record["valid"] and record["cell"]["quant"] != UNQUANTISED)
    return [*sorted(table, key=_order), *map(_invalid_row, invalid), *paper_rows()]


def _cell(each: Group) -> dict[str, Any]:
    cell: dict[str, Any] = each.sessions[0]["cell"]
    return cell


def _is_plain(each: Group) -> bool:
    return bool(_cell(each)["quant"] == UNQUANTISED)


def _baseline(each: Group, valid: Sequence[Group]) -> Group | None:
    """The newest of those that fit best: the row's own runtime before that of an engine, its own dtype before another;
    None where none was measured."""
    cell = _cell(each)
    for runtime, cache in ((cell["runtime"], cell["cache"]), OF_AN_ENGINE):
        fitting = [one for one in valid if _is_plain(one) and _fits(one, each, runtime, cache)]
        if fitting:
            return max(fitting, key=lambda one: (_cell(one)["dtype"] == cell["dtype"], _last_start(one)))
    return None


def _fits(one: Group, each: Group, runtime: str, cache: str) -> bool:
    ours, theirs = _cell(one), _cell(each)
    return (
        all(ours[name] == theirs[name] for name in PLACE)
        and floors.DTYPE_BYTES[ours["dtype"]] == floors.DTYPE_BYTES[theirs["dtype"]]
        and (ours["runtime"], ours["cache"], ours["options"]) == (runtime, cache, {})
        and protocol_title(one.sessions[0]) == protocol_title(each.sessions[0])
    )


def _last_start(each: Group) -> int:
    return max(int(found["session"]["started_ms"]) for found in each.sessions)


def _order(row: Row) -> tuple[Any, ...]:
    """Runtimes as the vocabulary has them, unquantised rows before others."""
    place = (*(row[name] for name in ("gpu", "model", "ctx")), vocabulary.RUNTIMES.index(row["runtime"]))
    return (*place, row["quant"] != UNQUANTISED, row["quant"], row["kernel"], row["dtype"])


def _row(each: Group, baseline: Group | None) -> Row:
    sessions = each.sessions
    steps = _values(each, "latency.step_wall_ms")
    low, high, kind = intervals.of_sessions(steps)
    streamed, step_ms = _centre(each, "bytes.streamed"), intervals.centre(steps)
    row = _named(each) | {
        "sessions": len(sessions),
        "hosts": len(_hosts(each)),
        "step_wall_ms": step_ms,
        "step_wall_ms_low": low,
        "step_wall_ms_high": high,
        "interval": kind,
        "bytes_streamed": streamed,
        "floor_ms": _centre(each, "floor.floor_ms"),
        "r_floor": _centre(each, "floor.r_floor"),
        "peak_bytes": max(_values(each, "memory.peak_bytes")),
        "logit_error": max(_values(each, "gate.error")),
        "valid": True,
        "reasons": [],
        "flags": _flags(each, baseline),
        "source": "measured",
    }
    return row | _savings(streamed, step_ms, baseline)


def _named(each: Group) -> Row:
    cell, keys = _cell(each), each.sessions[0]["keys"]
    options = ",".join(f"{name}:{value}" for name, value in sorted(cell["options"].items()))
    return {name: cell[name] for name in CELL_FIELDS} | {
        "options": options,
        "protocol": protocol_title(each.sessions[0]),
        "code_key": keys["code_key"],
        "env_key": keys["env_key"],
        "superseded": each.superseded,
    }


def _savings(streamed: float | None, step_ms: float | None, baseline: Group | None) -> Row:
    if baseline is None or not streamed or not step_ms:
        return {"against": None, "ideal": None, "realised": None}
    whole, time = _centre(baseline, "bytes.streamed"), _centre(baseline, "latency.step_wall_ms")
    return {
        "against": f"{_cell(baseline)['runtime']} {_cell(baseline)['dtype']}",
        "ideal": None if whole is None else whole / streamed,
        "realised": None if time is None else time / step_ms,
    }


def _values(each: Group, path: str) -> list[float]:
    return [value for found in each.sessions if (value := lookup(found, path)) is not None]


def _centre(each: Group, path: str) -> float | None:
    return intervals.centre(_values(each, path))


def _hosts(each: Group) -> set[str]:
    return {found["keys"]["host_id"] for found in each.sessions}


def _flags(each: Group, baseline: Group | None) -> list[str]:
    """Those of any session; `mixed-host` over several hosts; `other-host` where the baseline ran elsewhere, which
    matters for what waits for the host."""
    flags = {flag for found in each.sessions for flag in found["flags"]}
    flags |= {"mixed-host"} if len(_hosts(each)) > 1 else set()
    return sorted(flags | ({"other-host"} if baseline is not None and _hosts(each) != _hosts(baseline) else set()))


def _invalid_row(each: Group) -> Row:
    reasons = sorted({reason for found in each.sessions for reason in found["reasons"]})
    measured_row = _named(each) | {"sessions": len(each.sessions), "valid": False, "reasons": reasons}
    return measured_row | {"source": "measured"}


def paper_rows() -> list[Row]:
    """The paper's times beside bytes and floors of our accounting; the first is the baseline of the others."""
    found = [_paper_row(row) for row in paper.quantised_rows()]
    baseline = found[0]
    for row in found:
        row["ideal"] = baseline["bytes_streamed"] / row["bytes_streamed"]
        row["realised"] = baseline["step_wall_ms"] / row["step_wall_ms"]
    return found


def _paper_row(row: dict[str, Any]) -> Row:
    shape, declared = catalogue.models()[row["model"]].shape, registry.weight_format(row["quant"]).DECLARATION
    scheme = None
    if declared.packed:
        choices = {name: words[0] for name, words in declared.options.items()}
        scheme = registry.packed_format(row["quant"]).scheme(choices)
    weights = registry.weight_bytes(row["quant"], scheme, shape, PAPER_DTYPE_BYTES)
    kv = floors.kv_bytes_per_token(shape, PAPER_DTYPE_BYTES) * row["ctx"]
    streamed = floors.bytes_streamed(weights, floors.embedding_bytes(shape, PAPER_DTYPE_BYTES), kv)
    floor_ms = floors.floor_ms(streamed, row["bandwidth_gbs"])
    return {
        **{name: row[name] for name in ("gpu", "model", "ctx", "quant", "kernel")},
        "step_wall_ms": row["step_ms"],
        "bytes_streamed": streamed,
        "floor_ms": floor_ms,
        "r_floor": floor_ms / row["step_ms"],
        "against": UNQUANTISED,
        "valid": True,
        "source": "paper",
    }


Column = tuple[str, str, str]
COLUMNS: tuple[Column, ...] = (
    ("gpu", "gpu", "s"),
    ("model", "model", "s"),
    ("ctx", "ctx", "d"),
    ("quant", "quant", "s"),
    ("kernel", "kernel", "s"),
    ("runtime", "runtime", "s"),
    ("dtype", "dtype", "s"),
    ("n", "sessions", "d"),
    ("ms/step", "step_wall_ms", ".2f"),
    ("low", "step_wall_ms_low", ".2f"),
    ("high", "step_wall_ms_high", ".2f"),
    ("floor ms", "floor_ms", ".2f"),
    ("r_floor", "r_floor", ".3f"),
    ("ideal saving", "ideal", ".2f"),
    ("realised saving", "realised", ".2f"),
    ("against", "against", "s"),
    ("peak GB", "peak_gb", ".2f"),
    ("logit error", "logit_error", ".4f"),
)


def markdown(table: Sequence[Row]) -> str:
    """The rows as a Markdown table, the paper's among them; what needs saying follows it."""
    header = [*(title for title, _, _ in COLUMNS), "flags"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    valid = [row for row in table if row["valid"]]
    lines += [_line(row) for row in valid]
    lines += ["", *(_invalid_sentence(row) for row in table if not row["valid"]), *_beyond_sentences(valid)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _line(row: Row) -> str:
    peak = row.get("peak_bytes")
    shown = row | {"peak_gb": None if peak is None else peak / 1e9}
    cells = ["–" if shown.get(key) in (None, "") else format(shown[key], spec) for _, key, spec in COLUMNS]
    marks = ["the paper's"] if row["source"] == "paper" else [*row["flags"], *_told_options(row)]
    return "| " + " | ".join([*cells, ", ".join(marks)]) + " |"


def _told_options(row: Row) -> list[str]:
    """Options that are not the format's own first choice."""
    own = registry.weight_format(row["quant"]).DECLARATION.options
    pairs = [option.partition(":") for option in row["options"].split(",") if option]
    return [f"{name}:{value}" for name, _, value in pairs if value != own.get(name, (None,))[0]]


def _title(row: Row) -> str:
    """The row's name in a sentence: what it has of a cell's fields."""
    whose = ["the paper,"] if row["source"] == "paper" else []
    return " ".join([*whose, *(str(row[field]) for field in CELL_FIELDS if row.get(field))])


def _invalid_sentence(row: Row) -> str:
    return f"- Invalid, {row['sessions']} sessions: {_title(row)}: {'; '.join(row['reasons'])}"


def _beyond_sentences(table: Sequence[Row]) -> list[str]:
    """A saving beyond the ideal is no wonder: the baseline itself was far from its floor."""
    beyond = [row for row in table if (row.get("realised") or 0) > (row.get("ideal") or float("inf"))]
    return [
        f"- {_title(row)}: {row['realised']:.2f}× where the bytes allow {row['ideal']:.2f}×: its baseline is that far "
        "from its own floor"
        for row in beyond
    ]
