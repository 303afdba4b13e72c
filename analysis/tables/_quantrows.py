"""Rows of the quantisation table: groups of sessions, and the paper's steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.row import CellRow, Row
from analysis.statistics import intervals
from analysis.tables import _packing
from analysis.tables._baselines import UNQUANTISED
from runner import registry
from runner.cell.vocabulary import SYNTHETIC_ID

CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype", "options")


@dataclass(frozen=True)
class GroupRow(CellRow):
    """A group of sessions without a saving: invalid or not measured."""

    options: str
    """options of runtime and kernel, such as `sdpa:flash`"""
    attention: str
    """the implementation of attention"""
    weights_id: str
    """`synthetic-…`, a revision on the hub, or a hash of the content"""
    scheme: str
    """packing of the weights, such as `group_size:128,sym:True`"""
    protocol: str
    """name, warm-up steps and timed steps, such as `paper-5-30`"""
    cell_key: str
    """hash of the cell"""
    code_key: str | None
    """hash of the code that measured; None if nothing was measured"""
    env_key: str | None
    """hash of the environment's versions; None if nothing was measured"""
    status: str
    """`measured`, or how the sessions ended"""
    valid: bool
    """whether every gate passed"""
    sessions: int
    """sessions that the medians are over"""
    superseded: int
    """sessions of older code that the row leaves out"""
    older_code: bool
    """whether these are rejected sessions of older code"""
    hosts: int
    """number of hosts that the sessions ran on"""
    reasons: list[str]
    """why the sessions are invalid, or how they ended"""
    flags: list[str]
    """flags: results that are valid but suspect"""
    source: str
    """`measured`"""


class SavingRow(Row):
    """A row with a step and a saving: measured, or from the paper."""

    realised: float | None

    @property
    def title(self) -> str:
        """Returns the row's name for a sentence."""
        raise NotImplementedError

    @property
    def marks(self) -> list[str]:
        """Returns the entries of the column `flags`."""
        raise NotImplementedError

    @property
    def realised_words(self) -> str | None:
        """Returns the saving with its range or interval as text."""
        return None if self.realised is None else f"{self.realised:.2f}"


@dataclass(frozen=True)
class QuantRow(GroupRow, SavingRow):
    """A group of valid sessions. A saving is None without a baseline.

    Each saving has its ends, their kind (`_interval`, `_label`), and the number of hosts that it was estimated on.
    """

    step_wall_ms: float
    """ms per step including the read-back of its token, by the host's clock"""
    step_wall_ms_low: float | None
    """ends of the interval of `step_wall_ms` over sessions"""
    step_wall_ms_high: float | None
    interval: str | None
    """`ci95`, `range` or `none`"""
    interval_label: str | None
    """coverage of the interval as text"""
    step_wall_p90_ms: float | None
    """90th percentile of the step in the worst session, in ms"""
    p99_ms: float | None
    """upper 95 % bound on the 99th percentile in the worst session; None if the steps of a session are too few"""
    bytes_streamed: float | None
    """bytes that a step must read"""
    floor_ms: float | None
    """ms to read the streamed bytes at the datasheet bandwidth; None without a datasheet"""
    r_floor: float | None
    """floor divided by step"""
    peak_bytes: float | None
    """peak device memory of the worst session, in bytes"""
    joules_per_token: float | None
    """energy of a step in J: median over the sessions that measured it; None if none did"""
    joules_per_token_low: float | None
    """ends of its range over these sessions; None below three"""
    joules_per_token_high: float | None
    joules_per_token_above_idle: float | None
    """the same without the energy of the idle card"""
    joules_per_token_above_idle_low: float | None
    joules_per_token_above_idle_high: float | None
    usd_per_mtok: float | None
    """US dollars per million tokens of one stream, None without a price"""
    logit_error: float | None
    """logit error of the worst session, relative to the reference"""
    against: str | None
    """runtime and dtype of the baseline"""
    ideal: float | None
    """the saving that the bytes allow"""
    realised: float | None
    """the baseline's step over the row's"""
    realised_low: float | None
    """ends of the saving's interval or range"""
    realised_high: float | None
    realised_interval: str | None
    """`ci95`, `range` or `none`"""
    realised_label: str | None
    """coverage of the interval as text"""
    realised_hosts: int | None
    """hosts that the saving was estimated on"""
    over_eager: float | None
    """the same saving over the fastest eager cell"""
    over_eager_low: float | None
    over_eager_high: float | None
    over_eager_interval: str | None
    over_eager_label: str | None
    over_eager_hosts: int | None

    @property
    def title(self) -> str:
        return " ".join(str(value) for name in CELL_FIELDS if (value := self.value(name)))

    @property
    def marks(self) -> list[str]:
        """Returns flags, options of the runtime, and deviations from the format's first choice: a checkpoint, another
        packing."""
        return [*self.flags, *self.peculiarities]

    @property
    def peculiarities(self) -> list[str]:
        """Returns the marks that are not flags."""
        checkpoint = [] if self.weights_id == SYNTHETIC_ID else [self.weights_id]
        options = _packing.runtime_options(self.quant, self.options)
        return [*options, *_packing.other_packing(self.quant, self.scheme), *checkpoint]

    @property
    def realised_words(self) -> str | None:
        ends = (self.realised_low, self.realised_high, self.realised_interval, self.realised_label)
        return _saving_words(self.realised, *ends)

    @property
    def over_eager_words(self) -> str | None:
        """Returns the saving over the fastest eager cell as text."""
        ends = (self.over_eager_low, self.over_eager_high, self.over_eager_interval, self.over_eager_label)
        return _saving_words(self.over_eager, *ends)


@dataclass(frozen=True)
class PaperRow(SavingRow):
    """A step of the paper with bytes and floor by our accounting."""

    gpu: str
    """the GPU's name in the catalogue"""
    model: str
    """the model's name in the catalogue"""
    ctx: int
    """tokens"""
    quant: str
    """weight format"""
    kernel: str
    """the kernel that multiplies the weights"""
    step_wall_ms: float
    """ms per step including the read-back of its token, by the host's clock"""
    bytes_streamed: float
    """bytes that a step must read"""
    floor_ms: float
    """ms to read the streamed bytes at the datasheet bandwidth; None without a datasheet"""
    r_floor: float | None
    """floor divided by step"""
    usd_per_mtok: float | None
    """US dollars per million tokens of one stream, None without a price"""
    against: str
    flags: list[str]
    """flags: results that are valid but suspect"""
    valid: bool
    """whether every gate passed"""
    source: str
    """`paper`"""
    ideal: float
    realised: float
    """the baseline's step over the row's"""

    def value(self, key: str) -> object:
        """Returns the value of a column, None if the paper does not state it."""
        return getattr(self, key, None)

    @property
    def title(self) -> str:
        cell = (value for name in CELL_FIELDS if (value := self.value(name)))
        return " ".join(["The paper,", *map(str, cell)])

    @property
    def marks(self) -> list[str]:
        return ["the paper's"]


AnyRow = GroupRow | PaperRow


def order(row: QuantRow) -> tuple[Any, ...]:
    """Returns the sort key of a row: unquantised rows come first within a runtime."""
    place = (row.gpu, row.model, row.ctx, *_runtime_order(row.runtime))
    return (*place, row.quant != UNQUANTISED, row.quant, row.kernel, row.dtype, row.options)


def _runtime_order(name: str) -> tuple[bool, bool, bool, str]:
    """Returns the sort key of a runtime: the plain step, then runtimes made of it, compilers, and engines."""
    declared = registry.runtime(name).DECLARATION
    return declared.owns_model, declared.compiles, declared.made_of_eager, name


def _saving_words(
    ratio: float | None, low: float | None, high: float | None, kind: str | None, label: str | None
) -> str | None:
    if ratio is None:
        return None
    ends = "" if kind in (None, intervals.NONE) else f" [{low:.2f}–{high:.2f}]"
    return f"{ratio:.2f}{ends}" + (f" ({label})" if kind == intervals.CI95 else "")
