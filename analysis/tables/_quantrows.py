"""Rows of the quantisation table: groups of sessions, and the paper's steps."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.row import CellRow, Row
from analysis.statistics import intervals
from analysis.tables import _packing
from runner.cell.vocabulary import SYNTHETIC_ID

CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype", "options")


@dataclass(frozen=True)
class GroupRow(CellRow):
    """A group of sessions without a saving: they are invalid, or nothing was measured."""

    options: str
    """options of runtime and kernel, such as `sdpa:flash`"""
    attention: str
    """the implementation of attention"""
    weights_id: str
    """synthetic, a revision of the hub, or a hash of the content"""
    scheme: str
    """how packed weights are packed, such as `group_size:128,sym:True`"""
    protocol: str
    """name, warm-up steps and timed steps, such as `paper-5-30`"""
    cell_key: str
    """hash of the cell"""
    code_key: str | None
    """hash of the code that measured; None where nothing was measured"""
    env_key: str | None
    """hash of the environment's versions; None where nothing was measured"""
    status: str
    """`measured`, or how the sessions ended"""
    valid: bool
    """every gate passed"""
    sessions: int
    """sessions that the medians are over"""
    superseded: int
    """sessions of older code that the row leaves out"""
    older_code: bool
    """rejected sessions of older code"""
    hosts: int
    """number of hosts that the sessions ran on"""
    reasons: list[str]
    """why the sessions are invalid, or how they ended"""
    flags: list[str]
    """what is right but suspect"""
    source: str
    """`measured`"""


class SavingRow(Row):
    """A row with a step and what is saved by it: a measured one, or one of the paper's."""

    realised: float | None

    @property
    def title(self) -> str:
        """The row's name in a sentence."""
        raise NotImplementedError

    @property
    def marks(self) -> list[str]:
        """What is shown as its flags."""
        raise NotImplementedError

    @property
    def realised_words(self) -> str | None:
        """The saving with its range, or with its interval and what that covers."""
        return None if self.realised is None else f"{self.realised:.2f}"


@dataclass(frozen=True)
class QuantRow(GroupRow, SavingRow):
    """A group of valid sessions. A saving has its ends, what they are (`_interval`, `_label`), and the number of hosts
    that it was estimated on; it is None without a baseline."""

    step_wall_ms: float
    """ms a step with its token read back, by the host's clock; None where nothing was measured"""
    step_wall_ms_low: float | None
    """ends of the interval of `step_wall_ms` over sessions"""
    step_wall_ms_high: float | None
    interval: str | None
    """`ci95`, `range` or `none`"""
    interval_label: str | None
    """what the interval covers, in words"""
    bytes_streamed: float | None
    """bytes that a step must read"""
    floor_ms: float | None
    """ms to read the streamed bytes at the datasheet's peak; None without a datasheet"""
    r_floor: float | None
    """floor over step"""
    peak_bytes: float | None
    """bytes of device memory at its peak, of the worst session"""
    logit_error: float | None
    """the worst session's"""
    against: str | None
    """runtime and dtype of the baseline"""
    ideal: float | None
    """the saving that the bytes allow"""
    realised: float | None
    """the baseline's time over the row's"""
    realised_low: float | None
    """ends of the saving's interval or range"""
    realised_high: float | None
    realised_interval: str | None
    """`ci95`, `range` or `none`"""
    realised_label: str | None
    """what the interval covers, in words"""
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
        """Flags, options of the runtime, and what is not the format's first choice: a checkpoint, another packing."""
        return [*self.flags, *self.peculiarities]

    @property
    def peculiarities(self) -> list[str]:
        """The marks that are no flags."""
        checkpoint = [] if self.weights_id == SYNTHETIC_ID else [self.weights_id]
        options = _packing.runtime_options(self.quant, self.options)
        return [*options, *_packing.other_packing(self.quant, self.scheme), *checkpoint]

    @property
    def realised_words(self) -> str | None:
        ends = (self.realised_low, self.realised_high, self.realised_interval, self.realised_label)
        return _saving_words(self.realised, *ends)

    @property
    def over_eager_words(self) -> str | None:
        """The saving over the fastest eager cell, in the same words."""
        ends = (self.over_eager_low, self.over_eager_high, self.over_eager_interval, self.over_eager_label)
        return _saving_words(self.over_eager, *ends)


@dataclass(frozen=True)
class PaperRow(SavingRow):
    """A step of the paper's beside bytes and floor of our accounting."""

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
    """ms a step with its token read back, by the host's clock; None where nothing was measured"""
    bytes_streamed: float
    """bytes that a step must read"""
    floor_ms: float
    """ms to read the streamed bytes at the datasheet's peak; None without a datasheet"""
    r_floor: float | None
    """floor over step"""
    against: str
    flags: list[str]
    """what is right but suspect"""
    valid: bool
    """every gate passed"""
    source: str
    """`paper`"""
    ideal: float
    realised: float
    """the baseline's time over the row's"""

    def value(self, key: str) -> object:
        """Returns what a column shows: nothing for what the paper does not tell."""
        return getattr(self, key, None)

    @property
    def title(self) -> str:
        cell = (value for name in CELL_FIELDS if (value := self.value(name)))
        return " ".join(["the paper,", *map(str, cell)])

    @property
    def marks(self) -> list[str]:
        return ["the paper's"]


AnyRow = GroupRow | PaperRow


def _saving_words(
    ratio: float | None, low: float | None, high: float | None, kind: str | None, label: str | None
) -> str | None:
    if ratio is None:
        return None
    ends = "" if kind in (None, intervals.NONE) else f" [{low:.2f}–{high:.2f}]"
    return f"{ratio:.2f}{ends}" + (f" ({label})" if kind == intervals.CI95 else "")
