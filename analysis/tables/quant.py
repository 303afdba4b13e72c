"""The quantisation table: what smaller weights should save by their bytes, and what the kernel makes of it.

A row's baseline is the unquantised cell that differs in nothing but the weights: same GPU, model, ctx, dtype, protocol,
runtime, cache and options. Where that was not measured it is the one in the other 16-bit dtype, whose bytes are the
same; an engine that runs no unquantised weights is held against eager. `against` says which it was. `ideal` is the
baseline's streamed bytes over the row's, `realised` the baseline's time over the row's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis import groups, paper
from analysis.sources.frame import Frame
from analysis.tables.form import FLAGS, Column, markdown_table, sentences_of_invalid, telling
from runner import floors, registry, vocabulary
from runner.resolve import SYNTHETIC_ID
from runner.scheme import Scheme

Row = dict[str, Any]

METRICS = ("step_wall_ms", "bytes_streamed", "floor_ms", "r_floor", "peak_bytes", "logit_error")
UNQUANTISED = "bf16"
OF_AN_ENGINE = ("eager", "static", "")
"""Runtime, cache and options of the baseline of an engine that runs no unquantised weights."""
VERSIONS = ("python", "torch", "cuda", "transformers", "driver")
"""What a row and its baseline should share; the kernel's package they cannot."""
PLACE = ("gpu", "model", "ctx")
CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype", "options")
TELLING_FIELDS = ("cache", "protocol", "attention", "env_key", "code_key")
NAMED = (
    *CELL_FIELDS,
    "attention",
    "weights_id",
    "scheme",
    "protocol",
    "cell_key",
    "code_key",
    "env_key",
    "status",
    "valid",
    "sessions",
    "superseded",
    "older_code",
)
VALUES = ("step_wall_ms", "step_wall_ms_low", "step_wall_ms_high", "interval", *METRICS[1:])
PAPER_DTYPE_BYTES = 2


def rows(frame: Frame, every_code: bool = False) -> list[Row]:
    """One row per group of valid sessions of quantised cells and of their baselines, then one (`valid` false) per
    group of invalid ones, then the paper's. `every_code` shows groups of older code, too."""
    found = groups.rows(frame, METRICS, every_code)
    valid = [each for each in found if each["valid"]]
    pairs = [(each, _baseline(each, valid)) for each in valid if not _is_plain(each)]
    baselines = {id(each): each for _, each in pairs if each is not None}
    table = [_row(frame, each, each) for each in baselines.values()] + [_row(frame, *pair) for pair in pairs]
    others = [_named(each) for each in found if not each["valid"] and not _is_plain(each)]
    return [*sorted(table, key=_order), *others, *paper_rows()]


def _is_plain(each: Row) -> bool:
    return bool(each["quant"] == UNQUANTISED)


def _baseline(each: Row, valid: Sequence[Row]) -> Row | None:
    """The newest of those that fit, its own dtype before another; None where none was measured."""
    is_engine = registry.runtime(each["runtime"]).DECLARATION.owns_model
    how = OF_AN_ENGINE if is_engine else (each["runtime"], each["cache"], _options_of_runtime(each))
    fitting = [one for one in valid if _is_plain(one) and _fits(one, each, how)]
    return max(fitting, key=lambda one: (one["dtype"] == each["dtype"], one["last_start_ms"]), default=None)


def _options_of_runtime(each: Row) -> str:
    """A cell's options less those that say how its weights are packed."""
    formats = registry.weight_format(each["quant"]).DECLARATION.options
    return ",".join(option for option in each["options"].split(",") if option.partition(":")[0] not in formats)


def _fits(one: Row, each: Row, how: tuple[str, str, str]) -> bool:
    return (
        all(one[name] == each[name] for name in (*PLACE, "protocol"))
        and floors.DTYPE_BYTES[one["dtype"]] == floors.DTYPE_BYTES[each["dtype"]]
        and (one["runtime"], one["cache"], one["options"]) == how
    )


def _order(row: Row) -> tuple[Any, ...]:
    """Runtimes as the vocabulary has them, unquantised rows before others."""
    place = (*(row[name] for name in ("gpu", "model", "ctx")), vocabulary.RUNTIMES.index(row["runtime"]))
    return (*place, row["quant"] != UNQUANTISED, row["quant"], row["kernel"], row["dtype"], row["options"])


def _named(each: Row) -> Row:
    named = {name: each[name] for name in NAMED}
    return {
        **named,
        "hosts": len(each["hosts"]),
        "reasons": each["reasons"],
        "flags": each["flags"],
        "source": "measured",
    }


def _row(frame: Frame, each: Row, baseline: Row | None) -> Row:
    values = {name: each[name] for name in VALUES}
    marks = {**_named(each), "flags": _flags(frame, each, baseline)}
    return marks | values | _savings(each["bytes_streamed"], each["step_wall_ms"], baseline)


def _savings(streamed: float | None, step_ms: float | None, baseline: Row | None) -> Row:
    if baseline is None or not streamed or not step_ms:
        return {"against": None, "ideal": None, "realised": None}
    whole, time = baseline["bytes_streamed"], baseline["step_wall_ms"]
    return {
        "against": f"{baseline['runtime']} {baseline['dtype']}",
        "ideal": None if whole is None else whole / streamed,
        "realised": None if time is None else time / step_ms,
    }


def _flags(frame: Frame, each: Row, baseline: Row | None) -> list[str]:
    """The group's; `other-host` where the baseline ran elsewhere, which matters for what waits for the host, and
    `other-env` where it ran with other versions of what both use."""
    found = set(each["flags"])
    if baseline is not None:
        found |= {"other-host"} if each["hosts"] != baseline["hosts"] else set()
        found |= {"other-env"} if _versions(frame, each) != _versions(frame, baseline) else set()
    return sorted(found)


def _versions(frame: Frame, each: Row) -> list[str | None]:
    return [frame.environments[each["env_key"]][name] for name in VERSIONS]


def paper_rows() -> list[Row]:
    """The paper's times beside bytes and floors of our accounting; the first is the baseline of the others."""
    found = [_paper_row(row) for row in paper.quantised_rows()]
    baseline = found[0]
    for row in found:
        row["ideal"] = baseline["bytes_streamed"] / row["bytes_streamed"]
        row["realised"] = baseline["step_wall_ms"] / row["step_wall_ms"]
    return found


def _paper_row(row: dict[str, Any]) -> Row:
    shape = paper.shape(row["model"])
    weights = registry.weight_bytes(row["quant"], _first_scheme(row["quant"]), shape, PAPER_DTYPE_BYTES)
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
        "flags": [],
        "valid": True,
        "source": "paper",
    }


COLUMNS = (
    *(Column(name, name, "d" if name == "ctx" else "s") for name in (*PLACE, "quant", "kernel", "runtime", "dtype")),
    Column("n", "sessions", "d"),
    Column("ms/step", "step_wall_ms", ".2f"),
    Column("low", "step_wall_ms_low", ".2f"),
    Column("high", "step_wall_ms_high", ".2f"),
    Column("floor ms", "floor_ms", ".2f"),
    Column("r_floor", "r_floor", ".3f"),
    Column("ideal saving", "ideal", ".2f"),
    Column("realised saving", "realised", ".2f"),
    Column("against", "against"),
    Column("peak GB", "peak_bytes", ".2f", scale=1e9),
    Column("logit error", "logit_error", ".4f"),
    FLAGS,
)


def markdown(table: Sequence[Row]) -> str:
    """The rows as a Markdown table, the paper's among them; what needs saying follows it."""
    valid = [row for row in table if row["valid"]]
    lines = markdown_table([row | {"flags": marks(row)} for row in valid], columns(valid))
    others = [row for row in table if not row["valid"]]
    lines += ["", *sentences_of_invalid(others, CELL_FIELDS), *(f"- {one}" for one in sentences(valid))]
    return "\n".join(lines).rstrip("\n") + "\n"


def columns(valid: Sequence[Row]) -> list[Column]:
    """The columns for these rows."""
    named = [column.key for column in COLUMNS]
    more = telling([row for row in valid if row["source"] == "measured"], named[:7], TELLING_FIELDS)
    return [*COLUMNS[:7], *(Column(field, field) for field in more), *COLUMNS[7:]]


def marks(row: Row) -> list[str]:
    """Flags, the options of the runtime, and what is not the format's first choice: a checkpoint, another packing."""
    if row["source"] == "paper":
        return ["the paper's"]
    checkpoint = [] if row["weights_id"] == SYNTHETIC_ID else [row["weights_id"]]
    runtimes = [option for option in _options_of_runtime(row).split(",") if option]
    return [*row["flags"], *runtimes, *_other_packing(row), *checkpoint]


def _other_packing(row: Row) -> list[str]:
    """Of the scheme what differs from the format's first choice."""
    usual = _first_scheme(row["quant"])
    words = {} if usual is None else {name: str(value) for name, value in usual.to_json().items()}
    pairs = [pair.partition(":") for pair in row["scheme"].split(",") if pair]
    return [f"{name}:{value}" for name, _, value in pairs if words.get(name) != value]


def _first_scheme(quant: str) -> Scheme | None:
    """How the format packs unless asked otherwise; None of one that packs nothing."""
    declared = registry.weight_format(quant).DECLARATION
    if not declared.packed:
        return None
    return registry.packed_format(quant).scheme({name: words[0] for name, words in declared.options.items()})


def _title(row: Row) -> str:
    """The row's name in a sentence: what it has of a cell's fields."""
    whose = ["the paper,"] if row["source"] == "paper" else []
    return " ".join([*whose, *(str(row[field]) for field in CELL_FIELDS if row.get(field))])


def sentences(valid: Sequence[Row]) -> list[str]:
    """A saving beyond the ideal is no wonder: the baseline itself was far from its floor."""
    beyond = [row for row in valid if (row.get("realised") or 0) > (row.get("ideal") or float("inf"))]
    return [
        f"{_title(row)}: {row['realised']:.2f}× where the bytes allow {row['ideal']:.2f}×: its baseline is that far "
        "from its own floor"
        for row in beyond
    ]
