"""The paper check: every figure of arXiv 2605.30571 that the project quotes, beside ours.

Ours is the cell that the paper describes: unquantised and eager for its R_floor, with the growing cache that a plain
loop has, or else the static one; its A/B between eager and graph; the same quant and kernel for its quantised
steps. A figure is reproduced where ours is within `TOLERANCE` of it, or it lies in our interval. Where it is not, the
likely reason is chosen by `REASONS`: the first rule that fits what our sessions recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis import ab, groups
from analysis.ab import Measured
from analysis.sources.columns import SESSION
from analysis.sources.frame import Frame
from analysis.tables import graphs, paper
from analysis.tables.form import Column, markdown_table
from runner import catalogue, fit, floors, protocol, registry
from runner.ab.manifest import Manifest
from runner.cell import Cell

Row = dict[str, Any]

TOLERANCE = 0.05
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
ASKED = (*METRICS, SESSION)
HEADLINE = (("h100", "qwen2.5-7b", 2048), ("l4", "qwen2.5-7b", 2048))
DTYPE_BYTES = 2

HOST_BOUND = 0.6
SLOW_READ = 0.85


def rows(frame: Frame) -> list[Row]:
    """One row per figure: what it is of (`quantity`, `gpu`, `model`, `ctx`), `paper`, `ours` with its interval, the
    relative `difference`, a `verdict` and, where it differs, the likely `reason`."""
    found = [row | _environment(frame, row) for row in groups.rows(frame, METRICS) if row["valid"]]
    plain = [row for row in found if row["quant"] == "bf16"]
    comparisons, _ = ab.of_frame(
        replace(frame, manifests=tuple(filter(_is_of_the_paper, frame.manifests))), bootstrapped=False
    )
    return [
        *_floor_checks(plain),
        *_streamed_checks(plain),
        *_range_checks(plain),
        *_memory_checks(plain),
        *_graph_checks(comparisons, found),
        *_quantised_checks(found),
    ]


def _is_of_the_paper(manifest: Manifest) -> bool:
    """Is it one that has a row in the paper? No other needs a bootstrap here."""
    return any(_is_place(arm.cell, figure) for arm in manifest.arms.values() for figure in paper.graphs_rows())


def _environment(frame: Frame, row: Row) -> Row:
    return {"torch": (frame.environments.get(row["env_key"]) or {}).get("torch")}


def _floor_checks(plain: Sequence[Row]) -> Iterator[Row]:
    for figure in paper.floor_rows():
        ours = _plain_cell(plain, figure)
        low, high = _ratio_interval(ours, "r_floor_paper")
        yield _check("r_floor_paper", figure, figure["r_floor_paper"], ours, "r_floor_paper", low, high)


def _streamed_checks(plain: Sequence[Row]) -> Iterator[Row]:
    """Its headline cells in the bytes that a step must read: without the input embedding, which the paper counts."""
    for figure in paper.floor_rows():
        if _place(figure) in HEADLINE:
            share, ours = _streamed_share(figure), _plain_cell(plain, figure)
            streamed = None if ours is None else ours | {"r_floor": share * ours["r_floor_paper"]}
            low, high = _ratio_interval(streamed, "r_floor")
            value = share * figure["r_floor_paper"]
            yield _check("r_floor (the paper's, in streamed bytes)", figure, value, streamed, "r_floor", low, high)


def _streamed_share(figure: Mapping[str, Any]) -> float:
    """Streamed bytes over the paper's."""
    shape = catalogue.models()[figure["model"]].shape
    weights = registry.weight_bytes("bf16", None, shape, DTYPE_BYTES)
    kv = floors.kv_bytes_per_token(shape, DTYPE_BYTES) * figure["ctx"]
    streamed = floors.bytes_streamed(weights, floors.embedding_bytes(shape, DTYPE_BYTES), kv)
    return streamed / floors.bytes_paper(weights, kv)


def _ratio_interval(ours: Row | None, name: str) -> tuple[float | None, float | None]:
    """That of a ratio floor / step, of the step's own."""
    if ours is None or ours[name] is None:
        return None, None
    floor_ms = ours[name] * ours["step_wall_ms"]
    return floor_ms / ours["step_wall_ms_high"], floor_ms / ours["step_wall_ms_low"]


def _plain_cell(plain: Sequence[Row], figure: Mapping[str, Any], runtime: str = "eager") -> Row | None:
    """The newest such cell; the growing cache before the static one."""
    fitting = [row for row in plain if row["runtime"] == runtime and _is_place(row, figure)]
    return max(fitting, key=lambda row: (row["cache"] == "dynamic", row["last_start_ms"]), default=None)


def _is_place(row: Mapping[str, Any], figure: Mapping[str, Any]) -> bool:
    return all(row[name] == figure[name] for name in ("gpu", "model", "ctx"))


def _range_checks(plain: Sequence[Row]) -> Iterator[Row]:
    """Only a GPU all of whose cells were measured has a range to hold beside the paper's."""
    ctxs = {ctx for _, _, ctx in paper.matrix()}
    models = {model for _, model, _ in paper.matrix()}
    for figure in paper.range_rows():
        places = [
            {"gpu": figure["gpu"], "model": model, "ctx": ctx} for model in sorted(models) for ctx in sorted(ctxs)
        ]
        cells = [ours for place in places if (ours := _plain_cell(plain, place)) is not None]
        values = sorted(row["r_floor_paper"] for row in cells if row["r_floor_paper"] is not None)
        whole = len(values) == len(places)
        ends = {"low": values[0], "high": values[-1], "median": _median(values)} if whole else {}
        for name in ("low", "high", "median"):
            place = {"gpu": figure["gpu"], "model": None, "ctx": None}
            row = _row(f"r_floor_paper, {name} of {len(places)} cells", place, figure[name], ends.get(name))
            if not whole and values:
                row["reason"] = f"{len(values)} of {len(places)} cells measured"
            yield row | (_judged(row, None, None, cells[0]) if whole else {})


def _median(values: Sequence[float]) -> float:
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _memory_checks(plain: Sequence[Row]) -> Iterator[Row]:
    """The paper's cells that ran out of memory: measured here, or predicted from bytes."""
    matrix = list(paper.matrix())
    fitting = sum(map(_fits, matrix))
    row = _row("cells that fit", {"gpu": None, "model": None, "ctx": None}, paper.valid_cells(), fitting)
    reason = f"{fitting} of {len(matrix)} fit by our accounting, with logits of the last token only"
    yield row | {"verdict": REPRODUCES if fitting == paper.valid_cells() else FITS_HERE, "reason": reason}
    for figure in paper.out_of_memory_rows():
        ours = _plain_cell(plain, figure)
        row = _row(
            "peak memory (GB); the paper: out of memory", figure, None, ours["peak_bytes"] / 1e9 if ours else None
        )
        told = "fits by our accounting, with logits of the last token only" if _fits(_place(figure)) else "does not fit"
        yield row | {"verdict": NOT_MEASURED if ours is None else FITS_HERE, "reason": told}


def _place(figure: Mapping[str, Any]) -> tuple[str, str, int]:
    return figure["gpu"], figure["model"], figure["ctx"]


def _fits(place: tuple[str, str, int]) -> bool:
    """By the prediction that a session makes before it loads anything."""
    gpu, model, ctx = place
    entry, shape = catalogue.gpus()[gpu], catalogue.models()[model].shape
    cell = Cell(gpu, model, ctx, "bf16", "cublas", "eager", "sdpa", "dynamic", "bf16", "synthetic-v1")
    memory = int((entry.memory_gb.value or 0) * 1e9)
    probe = floors.read_probe_bytes("cuda", int((entry.l2_mib.value or 0) * 2**20), memory)
    return fit.predicted_bytes(cell, shape, None, protocol.NAMED["paper"], "cuda", probe) <= memory


def _graph_checks(compared: Sequence[Measured], found: Sequence[Row]) -> Iterator[Row]:
    ours = {(row["gpu"], row["model"], row["ctx"]): row for row in graphs.rows(compared) if _is_graph_ab(row)}
    for figure in paper.graphs_rows():
        pair = ours.get(_place(figure))
        eager = _plain_cell([row for row in found if row["quant"] == "bf16"], figure)
        for name, quantity in (
            ("a_ms", "eager ms/step in the A/B"),
            ("b_ms", "graph ms/step in the A/B"),
            ("ratio", "eager / graph"),
        ):
            if figure[name] is None:
                continue
            row = _row(quantity, figure, figure[name], pair[name] if pair else None)
            low, high = (pair["ratio_low"], pair["ratio_high"]) if pair and name == "ratio" else (None, None)
            yield row | _judged(row, low, high, eager)


def _is_graph_ab(row: Row) -> bool:
    return (row["quant"], row["arm_a"], row["arm_b"]) == ("bf16", "eager", "graph")


def _quantised_checks(found: Sequence[Row]) -> Iterator[Row]:
    for figure in paper.quantised_rows():
        kernel = KERNELS[figure["kernel"]]
        fitting = [row for row in found if (row["quant"], row["kernel"]) == (figure["quant"], kernel)]
        ours = _plain_cell(fitting, figure)
        low, high = (ours["step_wall_ms_low"], ours["step_wall_ms_high"]) if ours else (None, None)
        quantity = f"ms/step, {' '.join(filter(None, (figure['quant'], figure['kernel'])))}"
        yield _check(quantity, figure, figure["step_ms"], ours, "step_wall_ms", low, high)


def _check(
    quantity: str,
    figure: Mapping[str, Any],
    value: float,
    ours: Row | None,
    name: str,
    low: float | None,
    high: float | None,
) -> Row:
    row = _row(quantity, figure, value, ours[name] if ours else None)
    return row | _judged(row, low, high, ours)


def _row(quantity: str, place: Mapping[str, Any], value: float | None, ours: float | None) -> Row:
    return {
        "quantity": quantity,
        **{name: place[name] for name in ("gpu", "model", "ctx")},
        "paper": value,
        "ours": ours,
        "ours_low": None,
        "ours_high": None,
        "difference": None if value is None or ours is None else ours / value - 1,
        "verdict": NOT_MEASURED,
        "reason": None,
    }


def _judged(row: Row, low: float | None, high: float | None, cell: Row | None) -> Row:
    """Verdict and reason of a figure, by our value, its interval and the cell it came from."""
    difference = row["difference"]
    if difference is None:
        return {}
    within = low is not None and high is not None and low <= row["paper"] <= high
    told = {"ours_low": low, "ours_high": high}
    if abs(difference) <= TOLERANCE or within:
        return told | {"verdict": REPRODUCES}
    return told | {"verdict": DIFFERS, "reason": likely_reason(cell)}


def likely_reason(cell: Row | None) -> str:
    """Of a cell that differs from the paper's: the first rule that fits what was recorded."""
    if cell is not None:
        for rule in REASONS:
            if (text := rule(cell)) is not None:
                return text
    return "no recorded value tells"


def _flagged(cell: Row) -> str | None:
    words = {"throttled": "the card was throttled", "shared-card": "another process was on the card"}
    words |= {"host-busy": "other processes kept the host busy", "shared-host": "another session shared the host"}
    return next((f"{text} (flag {flag})" for flag, text in words.items() if flag in cell["flags"]), None)


def _waits_for_host(cell: Row) -> str | None:
    busy, step, launch = cell["step_busy_ms"], cell["step_wall_ms"], cell["launch_us"]
    if cell["runtime"] != "eager" or busy is None or launch is None or busy >= HOST_BOUND * step:
        return None
    kernels = cell["kernels_per_step"] or 0
    launches = f"{kernels:.0f} are launched at {launch:.1f} µs each"
    return f"bound by this host: kernels run in {busy / step:.0%} of the step, {launches}"


def _reads_slowly(cell: Row) -> str | None:
    known = catalogue.gpus().get(cell["gpu"])
    peak = known.bandwidth_gbs.value if known else None
    if not peak or not cell["read_gbs"] or cell["read_gbs"] >= SLOW_READ * peak:
        return None
    return f"this card's memory reads at {cell['read_gbs'] / peak:.0%} of the datasheet's peak"


def _other_cache(cell: Row) -> str | None:
    if cell["cache"] != "static":
        return None
    return "a static cache, whose attention may read the whole allocation; the paper does not tell its own"


def _other_software(cell: Row) -> str | None:
    return f"other software: torch {cell['torch']} here, the paper tells no version" if cell.get("torch") else None


REASONS: tuple[Callable[[Row], str | None], ...] = (
    _flagged,
    _waits_for_host,
    _reads_slowly,
    _other_cache,
    _other_software,
)

COLUMNS = (
    Column("figure", "quantity"),
    Column("gpu", "gpu"),
    Column("model", "model"),
    Column("ctx", "ctx", "d"),
    Column("paper", "paper", ".4g"),
    Column("ours", "ours", ".4g"),
    Column("low", "ours_low", ".4g", optional=True),
    Column("high", "ours_high", ".4g", optional=True),
    Column("difference", "difference", "+.1%", optional=True),
    Column("verdict", "verdict"),
    Column("reason", "reason", optional=True),
)


def markdown(table: Sequence[Row]) -> str:
    """All figures, one a line."""
    return "\n".join(markdown_table(table, COLUMNS)) + "\n"
