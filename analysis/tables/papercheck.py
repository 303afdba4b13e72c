"""The paper check: every figure of arXiv 2605.30571 that the project quotes, beside ours.

Ours is the cell that the paper describes: under its protocol, in 16 bits, with the usual attention and options;
unquantised and eager for its R_floor, with the growing cache that a plain loop has, or else the static one; its A/B
between eager and graph, of the newest code; the same quant and kernel for its quantised steps. A figure is reproduced
where ours is within `TOLERANCE` of it, or it lies in the interval of ours (95 %; 93.75 % at five sessions) and that is
no wider than `WIDEST` to either side: the range of a few sessions, or an interval that would hold anything, reproduces
nothing. Where it is not, `reasons` has the likely one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from analysis import ab, groups, paper
from analysis.ab import Measured
from analysis.sources.frame import Frame
from analysis.statistics import intervals
from analysis.tables import graphs, reasons
from analysis.tables.form import Column, markdown_table
from runner import registry
from runner.ab.manifest import Manifest
from runner.cell import floors, protocol
from runner.cell.cell import Cell
from runner.cell.jsonform import to_json
from runner.plan import fit

Row = dict[str, Any]

TOLERANCE, WIDEST = 0.05, 0.10
REPRODUCES, DIFFERS, NOT_MEASURED, FITS_HERE = "reproduces", "differs", "not measured", "fits here"
KERNELS = {"AutoAWQ+Marlin": "marlin", "ExLlamaV2": "exllamav2", "bitsandbytes": "bitsandbytes", "": "cublas"}
METRICS = (
    "step_wall_ms",
    "step_busy_ms",
    "kernels_per_step",
    "launch_us",
    "read_gbs",
    "peak_bytes",
    "r_floor_paper",
)
ASKED = tuple(dict.fromkeys((*METRICS, *ab.ASKED)))
HEADLINE = (("h100", "qwen2.5-7b", 2048), ("l4", "qwen2.5-7b", 2048))
UNQUANTISED, DTYPE_BYTES = "bf16", 2
PROTOCOL = "{0.name}-{0.warmup}-{0.steps}".format(protocol.NAMED["paper"])


@dataclass(frozen=True)
class Ours:
    """Our value beside a figure, with its interval over sessions (see `intervals.of_sessions`); `cell` is what may
    explain a difference, and a step slower than the paper's has the greater value where `grows`."""

    value: float
    low: float | None
    high: float | None
    interval: str
    sessions: int
    cell: Row | None
    grows: bool


def rows(frame: Frame) -> list[Row]:
    """One row per figure: what it is of (`quantity`, `gpu`, `model`, `ctx`), `paper`, `ours` with its interval, the
    relative `difference`, a `verdict` and, where it differs, the likely `reason`."""
    found = [row | _environment(frame, row) for row in groups.rows(frame, METRICS) if row["valid"] and _is_usual(row)]
    plain = [row for row in found if row["quant"] == UNQUANTISED and row["runtime"] == "eager"]
    comparisons, _ = ab.of_frame(
        replace(frame, manifests=tuple(filter(_is_of_the_paper, frame.manifests))), bootstrapped=False
    )
    return [
        *_floor_checks(plain),
        *_streamed_checks(plain),
        *_range_checks(plain),
        *_memory_checks(plain),
        *_graph_checks(frame, comparisons),
        *_quantised_checks(found),
    ]


def _is_of_the_paper(manifest: Manifest) -> bool:
    """Is it one that has a row in the paper?"""
    return any(_is_place(to_json(arm.cell), figure) for arm in manifest.arms.values() for figure in paper.graphs_rows())


def _is_usual(row: Row) -> bool:
    """Is it measured as the paper says, and as one would who asks for nothing else?"""
    known = registry.kernel(row["kernel"]).DECLARATION
    choices = registry.weight_format(row["quant"]).DECLARATION.options
    usual = ",".join(f"{name}:{values[0]}" for name, values in sorted(choices.items()))
    is_engine = registry.runtime(row["runtime"]).DECLARATION.owns_model
    return (
        row["protocol"] == PROTOCOL
        and row["dtype"] == known.dtypes[0]
        and row["attention"] == ("engine" if is_engine else "sdpa")
        and (is_engine or row["options"] == usual)
    )


def _environment(frame: Frame, row: Mapping[str, Any]) -> Row:
    return {"torch": (frame.environments.get(row["env_key"]) or {}).get("torch")}


def _floor_checks(plain: Sequence[Row]) -> Iterator[Row]:
    for figure in paper.floor_rows():
        ours = _ratio(_plain_cell(plain, figure), 1.0)
        yield _check("r_floor_paper", figure, figure["r_floor_paper"], ours)


def _streamed_checks(plain: Sequence[Row]) -> Iterator[Row]:
    """Its headline cells in the bytes that a step must read: without the input embedding, which the paper counts."""
    for figure in paper.floor_rows():
        if _place(figure) in HEADLINE:
            share = _streamed_share(figure)
            ours = _ratio(_plain_cell(plain, figure), share)
            yield _check("r_floor (the paper's, in streamed bytes)", figure, share * figure["r_floor_paper"], ours)


def _streamed_share(figure: Mapping[str, Any]) -> float:
    """Streamed bytes over the paper's."""
    shape = paper.shape(figure["model"])
    weights = registry.weight_bytes(UNQUANTISED, None, shape, DTYPE_BYTES)
    kv = floors.kv_bytes_per_token(shape, DTYPE_BYTES) * figure["ctx"]
    streamed = floors.bytes_streamed(weights, floors.embedding_bytes(shape, DTYPE_BYTES), kv)
    return streamed / floors.bytes_paper(weights, kv)


def _ratio(cell: Row | None, share: float) -> Ours | None:
    """`share` of a cell's R_floor in the paper's bytes; a ratio floor / step has the step's own interval, turned
    round."""
    if cell is None or cell["r_floor_paper"] is None:
        return None
    value = share * cell["r_floor_paper"]
    low, high = intervals.of_ratio(value, *(cell[f"step_wall_ms{end}"] for end in ("", "_low", "_high")))
    return Ours(value, low, high, cell["interval"], cell["sessions"], cell, grows=False)


def _plain_cell(found: Sequence[Row], figure: Mapping[str, Any]) -> Row | None:
    """The newest cell of that place; the growing cache before the static one."""
    fitting = [row for row in found if _is_place(row, figure)]
    return max(fitting, key=lambda row: (row["cache"] == "dynamic", row["last_start_ms"]), default=None)


def _is_place(row: Mapping[str, Any], figure: Mapping[str, Any]) -> bool:
    return all(row[name] == figure[name] for name in ("gpu", "model", "ctx"))


def _range_checks(plain: Sequence[Row]) -> Iterator[Row]:
    """Only a GPU all of whose cells were measured has a range to hold beside the paper's."""
    for figure in paper.range_rows():
        places = [dict(zip(("gpu", "model", "ctx"), place, strict=True)) for place in paper.matrix()]
        own = [place for place in places if place["gpu"] == figure["gpu"]]
        cells = [cell for place in own if (cell := _plain_cell(plain, place)) and cell["r_floor_paper"] is not None]
        ends = _ends(cells) if len(cells) == len(own) else {}
        for name in ("low", "high", "median"):
            yield _range_check(name, figure, ends.get(name), len(cells), len(own))


def _range_check(name: str, figure: Mapping[str, Any], ours: Ours | None, measured: int, of: int) -> Row:
    """The paper's range may be over fewer cells than there are: then what is ours is another thing, and it says so."""
    quantity = f"r_floor_paper, {name} of {figure['cells']} cells"
    row = _check(quantity, {"gpu": figure["gpu"], "model": None, "ctx": None}, figure[name], ours)
    if ours is None:
        return row | {"reason": f"{measured} of {of} cells measured" if measured else None}
    if figure["cells"] < of:
        row["reason"] = "; ".join(
            filter(None, (f"ours is over {of} cells, of which the paper has only some", row["reason"]))
        )
    return row


def _ends(cells: Sequence[Row]) -> dict[str, Ours]:
    """Each with the cell that it is the ratio of; of the median, that of the two in the middle which is lower."""
    in_order = sorted(cells, key=lambda cell: float(cell["r_floor_paper"]))
    middle = median(cell["r_floor_paper"] for cell in in_order)
    chosen = {"low": in_order[0], "high": in_order[-1], "median": in_order[(len(in_order) - 1) // 2]}
    values = {name: middle if name == "median" else cell["r_floor_paper"] for name, cell in chosen.items()}
    return {
        name: Ours(values[name], None, None, intervals.NONE, cell["sessions"], cell, grows=False)
        for name, cell in chosen.items()
    }


def _memory_checks(plain: Sequence[Row]) -> Iterator[Row]:
    """The paper's cells that ran out of memory: measured here, or predicted from bytes."""
    matrix = list(paper.matrix())
    fitting = sum(map(_fits, matrix))
    row = _row("cells that fit", {"gpu": None, "model": None, "ctx": None}, paper.valid_cells(), None)
    reason = f"{fitting} of {len(matrix)} fit by our accounting, with logits of the last token only"
    yield row | {"verdict": REPRODUCES if fitting == paper.valid_cells() else FITS_HERE, "reason": reason}
    for figure in paper.out_of_memory_rows():
        cell = _plain_cell(plain, figure)
        quantity = "peak memory (GB); the paper: out of memory"
        row = _row(quantity, figure, None, cell["peak_bytes"] / 1e9 if cell else None)
        told = "fits by our accounting, with logits of the last token only" if _fits(_place(figure)) else "does not fit"
        yield row | {"verdict": NOT_MEASURED if cell is None else FITS_HERE, "reason": told}


def _place(figure: Mapping[str, Any]) -> tuple[str, str, int]:
    return figure["gpu"], figure["model"], figure["ctx"]


def _fits(place: tuple[str, str, int]) -> bool:
    """By the prediction that a session makes before it loads anything."""
    gpu, model, ctx = place
    entry, shape = paper.gpu(gpu), paper.shape(model)
    cell = Cell(gpu, model, ctx, UNQUANTISED, "cublas", "eager", "sdpa", "dynamic", "bf16", "synthetic-v1")
    memory = int((entry.memory_gb.value or 0) * 1e9)
    probe = floors.read_probe_bytes("cuda", int((entry.l2_mib.value or 0) * 2**20), memory)
    return fit.predicted_bytes(cell, shape, None, protocol.NAMED["paper"], "cuda", probe) <= memory


def _graph_checks(frame: Frame, compared: Sequence[Measured]) -> Iterator[Row]:
    """Each figure by the arm that it is of; a ratio by the eager arm, which makes it greater by being slower."""
    ours = {_place(row): row for row in graphs.rows(compared) if _is_graph_ab(row)}
    for figure in paper.graphs_rows():
        pair = ours.get(_place(figure))
        for name, arm, quantity in (
            ("a_ms", "a", "eager ms/step in the A/B"),
            ("b_ms", "b", "graph ms/step in the A/B"),
            ("ratio", "a", "eager / graph"),
        ):
            if figure[name] is not None:
                found = None if pair is None else _of_arm(frame, pair, name, arm)
                yield _check(quantity, figure, figure[name], found)


def _of_arm(frame: Frame, pair: Row, name: str, arm: str) -> Ours:
    is_ratio = name == "ratio"
    low, high = (pair["ratio_low"], pair["ratio_high"]) if is_ratio else (None, None)
    of_both = {key: pair[key] for key in ("gpu", "flags", "read_gbs")}
    cell = of_both | {
        "runtime": pair[f"arm_{arm}"],
        "cache": pair["cache"],
        "step_wall_ms": pair[f"{arm}_ms"],
        "step_busy_ms": pair[f"busy_{arm}_ms"],
        **_environment(frame, {"env_key": pair[f"env_key_{arm}"]}),
    }
    return Ours(pair[name], low, high, pair["interval"] if is_ratio else intervals.NONE, pair["sessions"], cell, True)


def _is_graph_ab(row: Row) -> bool:
    return (row["quant"], row["dtype"], row["attention"], row["protocol"], row["arm_a"], row["arm_b"]) == (
        *(UNQUANTISED, "bf16", "sdpa", PROTOCOL),
        *("eager", "graph"),
    )


def _quantised_checks(found: Sequence[Row]) -> Iterator[Row]:
    """The paper does not tell whether its ExLlamaV2 is the kernel in the transformers model or that package's own
    engine: each has a row."""
    for figure in paper.quantised_rows():
        kernel = KERNELS[figure["kernel"]]
        fitting = [row for row in found if (row["quant"], row["kernel"]) == (figure["quant"], kernel)]
        words = " ".join(filter(None, (figure["quant"], figure["kernel"])))
        for runtime, how in (("eager", ""), *([("exllamav2", ", its own engine")] if kernel == "exllamav2" else ())):
            cell = _plain_cell([row for row in fitting if row["runtime"] == runtime], figure)
            yield _check(f"ms/step, {words}{how}", figure, figure["step_ms"], _step(cell))


def _step(cell: Row | None) -> Ours | None:
    if cell is None:
        return None
    ends = (cell["step_wall_ms_low"], cell["step_wall_ms_high"], cell["interval"])
    return Ours(cell["step_wall_ms"], *ends, cell["sessions"], cell, grows=True)


def _check(quantity: str, figure: Mapping[str, Any], value: float, ours: Ours | None) -> Row:
    row = _row(quantity, figure, value, None if ours is None else ours.value)
    return row if ours is None else row | _judged(value, ours)


def _row(quantity: str, place: Mapping[str, Any], value: float | None, ours: float | None) -> Row:
    return {
        "quantity": quantity,
        **{name: place[name] for name in ("gpu", "model", "ctx")},
        "paper": value,
        "ours": ours,
        "ours_low": None,
        "ours_high": None,
        "interval": None,
        "sessions": None,
        "difference": None if value is None or ours is None else ours / value - 1,
        "verdict": NOT_MEASURED,
        "reason": None,
    }


def _judged(value: float, ours: Ours) -> Row:
    """Verdict and reason of a figure."""
    told = {"ours_low": ours.low, "ours_high": ours.high, "interval": ours.interval, "sessions": ours.sessions}
    difference = ours.value / value - 1
    within = ours.low is not None and ours.high is not None and ours.low <= value <= ours.high
    if abs(difference) <= TOLERANCE or (within and _is_narrow(ours)):
        return told | {"verdict": REPRODUCES}
    if within:
        what = f"{ours.sessions} sessions" if ours.interval == intervals.RANGE else "the interval"
        reason = f"too scattered to say: {what} from {ours.low:.4g} to {ours.high:.4g}"
    else:
        reason = reasons.likely(ours.cell, is_slower=(difference > 0) == ours.grows)
    return told | {"verdict": DIFFERS, "reason": reason}


def _is_narrow(ours: Ours) -> bool:
    ends = [abs(end / ours.value - 1) for end in (ours.low, ours.high) if end is not None]
    return ours.interval == intervals.CI95 and max(ends) <= WIDEST


COLUMNS = (
    Column("figure", "quantity"),
    Column("gpu", "gpu"),
    Column("model", "model"),
    Column("ctx", "ctx", "d"),
    Column("paper", "paper", ".4g"),
    Column("ours", "ours", ".4g"),
    Column("n", "sessions", "d", optional=True),
    Column("low", "ours_low", ".4g", optional=True),
    Column("high", "ours_high", ".4g", optional=True),
    Column("difference", "difference", "+.1%", optional=True),
    Column("verdict", "verdict"),
    Column("reason", "reason", optional=True),
)


def markdown(table: Sequence[Row]) -> str:
    """All figures, one a line, and below them what contradicts another."""
    return "\n".join([*markdown_table(table, COLUMNS), "", *(f"- {one}" for one in sentences(table))]) + "\n"


def sentences(table: Sequence[Row]) -> list[str]:
    """The cells of which the paper has two steps."""
    return paper.two_steps_of({_place(row) for row in table if row["model"] is not None})
