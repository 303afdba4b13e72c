"""The quantisation table: what smaller weights should save by their bytes, and what the kernel makes of it.

Each row is held against the fastest unquantised cell of its GPU, model, ctx and protocol, in whatever runtime and in
either 16-bit dtype (`against` says which it was), and against the fastest eager one. Only sessions of one host are
compared (`analysis.statistics.savings`): without a common host no saving is estimated. `ideal` is the baseline's
streamed bytes over the row's, `realised` the baseline's time over the row's, `over_eager` the eager cell's over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis import groups, paper
from analysis.sources.frame import Frame
from analysis.statistics import intervals, savings
from analysis.statistics.savings import Saving
from analysis.tables.form import FLAGS, Column, markdown_table, sentences_of_invalid, telling
from runner import registry
from runner.cell import floors
from runner.cell.scheme import Scheme
from runner.cell.vocabulary import SYNTHETIC_ID
from runner.record.flags import OTHER_ENV, OTHER_HOST

Row = dict[str, Any]

METRICS = ("step_wall_ms", "bytes_streamed", "floor_ms", "r_floor", "peak_bytes", "logit_error")
UNQUANTISED = "bf16"
EAGER = "eager"
Walls = Mapping[tuple[Any, ...], Mapping[str, tuple[float, ...]]]
Baseline = tuple[Row, Saving]
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
VALUES = ("step_wall_ms", "step_wall_ms_low", "step_wall_ms_high", "interval", "interval_label", *METRICS[1:])
PAPER_DTYPE_BYTES = 2


def rows(frame: Frame, every_code: bool = False) -> list[Row]:
    """One row per group of valid sessions of quantised cells and of their baselines, then one (`valid` false) per
    group of invalid ones, then the paper's. `every_code` shows groups of older code, too."""
    found = groups.rows(frame, METRICS, every_code)
    walls = groups.walls_of_hosts(frame)
    valid = [each for each in found if each["valid"]]
    plain = [each for each in valid if _is_plain(each)]
    packed = [each for each in valid if not _is_plain(each)]
    beside = [one for one in plain if any(_fits(one, each) for each in packed)]
    table = [_row(frame, each, plain, walls) for each in (*beside, *packed)]
    others = [_named(each) for each in found if not each["valid"] and not _is_plain(each)]
    return [*sorted(table, key=_order), *others, *paper_rows()]


def _is_plain(each: Row) -> bool:
    return bool(each["quant"] == UNQUANTISED)


def _fastest(each: Row, plain: Iterable[Row], walls: Walls, runtime: str | None) -> Baseline | None:
    """The fastest that fits and shares a host, of a runtime or of any, with what is saved against it; of a cell the
    newest sessions count. None where there is none."""
    newest: dict[str, Baseline] = {}
    for one in sorted(plain, key=lambda one: int(one["last_start_ms"])):
        if _fits(one, each) and runtime in (None, one["runtime"]):
            saving = _saving(walls, one, each)
            newest |= {} if saving is None else {one["cell_key"]: (one, saving)}
    return min(newest.values(), key=lambda found: found[1].ratio, default=None)


def _saving(walls: Walls, baseline: Row, each: Row) -> Saving | None:
    """Returns the saving of a row; 1 against itself, None if it shares no host with the baseline."""
    if baseline is each:
        return Saving(1.0, 1.0, 1.0, intervals.NONE, None, len(each["hosts"]))
    own, others = (walls.get(tuple(row[name] for name in groups.GROUP), {}) for row in (each, baseline))
    shared = [(others[host], own[host]) for host in sorted(own.keys() & others.keys())]
    return savings.within_hosts(shared) if shared else None


def _options_of_runtime(each: Row) -> str:
    """A cell's options less those that say how its weights are packed."""
    formats = registry.weight_format(each["quant"]).DECLARATION.options
    return ",".join(option for option in each["options"].split(",") if option.partition(":")[0] not in formats)


def _fits(one: Row, each: Row) -> bool:
    same = all(one[name] == each[name] for name in (*PLACE, "protocol"))
    return same and floors.DTYPE_BYTES[one["dtype"]] == floors.DTYPE_BYTES[each["dtype"]]


def _order(row: Row) -> tuple[Any, ...]:
    """Unquantised rows come before others of the same runtime."""
    place = (*(row[name] for name in PLACE), *_runtime_order(row["runtime"]))
    return (*place, row["quant"] != UNQUANTISED, row["quant"], row["kernel"], row["dtype"], row["options"])


def _runtime_order(name: str) -> tuple[bool, bool, bool, str]:
    """Returns the place of a runtime: the plain step first, then runtimes made of it, compilers, and other models."""
    declared = registry.runtime(name).DECLARATION
    return declared.owns_model, declared.compiles, declared.made_of_eager, name


def _named(each: Row) -> Row:
    named = {name: each[name] for name in NAMED}
    return {
        **named,
        "hosts": len(each["hosts"]),
        "reasons": each["reasons"],
        "flags": each["flags"],
        "source": "measured",
    }


def _row(frame: Frame, each: Row, plain: Sequence[Row], walls: Walls) -> Row:
    best, eager = (_fastest(each, plain, walls, only) for only in (None, EAGER))
    return {
        **_named(each),
        "flags": _flags(frame, each, plain, best),
        **{name: each[name] for name in VALUES},
        "against": None if best is None else f"{best[0]['runtime']} {best[0]['dtype']}",
        "ideal": _ideal(each, best),
        **_told("realised", best),
        **_told("over_eager", eager),
    }


def _ideal(each: Row, best: Baseline | None) -> float | None:
    whole, streamed = None if best is None else best[0]["bytes_streamed"], each["bytes_streamed"]
    return whole / streamed if whole and streamed else None


def _told(name: str, found: Baseline | None) -> Row:
    saving = None if found is None else found[1]
    return {
        name: None if saving is None else saving.ratio,
        f"{name}_low": None if saving is None else saving.low,
        f"{name}_high": None if saving is None else saving.high,
        f"{name}_interval": None if saving is None else saving.interval,
        f"{name}_label": None if saving is None else saving.label,
        f"{name}_hosts": None if saving is None else saving.hosts,
    }


def _flags(frame: Frame, each: Row, plain: Sequence[Row], best: Baseline | None) -> list[str]:
    """The group's; `other-host` where all that it could be held against ran elsewhere, and `other-env` where its
    baseline ran with other versions of what both use."""
    found = set(each["flags"])
    if best is None:
        found |= {OTHER_HOST} if any(_fits(one, each) for one in plain) else set()
    elif _versions(frame, each) != _versions(frame, best[0]):
        found.add(OTHER_ENV)
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
        # Where the paper has an R_floor of its own, of another step than this, that one stands (in the paper check).
        "r_floor": None
        if paper.two_steps(row["gpu"], row["model"], row["ctx"], row["quant"])
        else floor_ms / row["step_ms"],
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
    Column("interval", "interval_label"),
    Column("floor ms", "floor_ms", ".2f"),
    Column("r_floor", "r_floor", ".3f"),
    Column("ideal saving", "ideal", ".2f"),
    Column("realised saving", "realised_words"),
    Column("against", "against"),
    Column("over eager", "over_eager_words"),
    Column("hosts", "realised_hosts", "d"),
    Column("peak GB", "peak_bytes", ".2f", scale=1e9),
    Column("logit error", "logit_error", ".4f"),
    FLAGS,
)


def markdown(table: Sequence[Row]) -> str:
    """The rows as a Markdown table, the paper's among them; what needs saying follows it."""
    valid = [row for row in table if row["valid"]]
    lines = markdown_table([worded(row) for row in valid], columns(valid))
    others = [row for row in table if not row["valid"]]
    lines += ["", *sentences_of_invalid(others, CELL_FIELDS), *(f"- {one}" for one in sentences(valid))]
    return "\n".join(lines).rstrip("\n") + "\n"


def worded(row: Row) -> Row:
    """The row with what `COLUMNS` shows of it as words."""
    return {
        **row,
        "flags": marks(row),
        "realised_words": saving_words(row, "realised"),
        "over_eager_words": saving_words(row, "over_eager"),
    }


def saving_words(row: Row, name: str) -> str | None:
    """A saving with its range, or with its interval and what that covers."""
    if row.get(name) is None:
        return None
    low, high, kind = (row.get(f"{name}_{end}") for end in ("low", "high", "interval"))
    ends = "" if kind in (None, intervals.NONE) else f" [{low:.2f}–{high:.2f}]"
    label = f" ({row[f'{name}_label']})" if kind == intervals.CI95 else ""
    return f"{row[name]:.2f}{ends}{label}"


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
    """What all of ours come to; and of a saving beyond the ideal what that says of the baseline."""
    beyond = [row for row in valid if (row.get("realised") or 0) > (row.get("ideal") or float("inf"))]
    own = summary([row for row in valid if row["source"] == "measured"])
    return [
        *([own] if own else []),
        *(
            f"{_title(row)}: {row['realised']:.2f}× where the bytes allow {row['ideal']:.2f}×: its baseline is further "
            "from its own floor than this row"
            for row in beyond
        ),
        *paper.two_steps_of({(row["gpu"], row["model"], row["ctx"]) for row in valid if row["source"] == "paper"}),
    ]


def summary(ours: Sequence[Row]) -> str | None:
    """The least and the greatest saving, and how many are a verdict's: those with five sessions of both cells on a host
    at least. None without a saving."""
    cells = sorted((row for row in ours if _is_saving(row)), key=lambda row: float(row["realised"]))
    if not cells:
        return None
    decided = [row for row in cells if row["realised_interval"] == intervals.CI95]
    faster, slower = (sum(is_so(row) for row in decided) for is_so in (_is_faster, _is_slower))
    verdict = f"{faster} faster and {slower} slower by the whole interval" if decided else "no verdict"
    few = f"{len(cells) - len(decided)} with fewer than {intervals.FEWEST_FOR_AN_INTERVAL} sessions have none"
    said = f"of {len(decided)} cells {verdict}; {few}" if decided else f"{verdict}: {few.removesuffix(' have none')}"
    least = "" if len(cells) == 1 else f"{_paid(cells[0])} to "
    whole = f"{len(cells)} quantised cells over the fastest unquantised one on the same hosts"
    return f"{whole}: {least}{_paid(cells[-1])}; {said}"


def _is_saving(row: Row) -> bool:
    return row["quant"] != UNQUANTISED and row["realised"] is not None


def _is_faster(row: Row) -> bool:
    return bool(row["realised_low"] > 1)


def _is_slower(row: Row) -> bool:
    return bool(row["realised_high"] < 1)


def _paid(row: Row) -> str:
    where = " ".join(str(row[name]) for name in (*PLACE, "quant", "kernel", "runtime") if row.get(name))
    return f"{saving_words(row, 'realised')}× ({where}, where the bytes allow {row['ideal']:.2f}×)"
