"""Rows of the table of differences from the paper."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.row import TracedRow
from analysis.tables._trace import Origins


@dataclass(frozen=True)
class PlaceRow(TracedRow):
    """A row about one place. Subclasses say what they have of it."""

    gpu: str
    """the GPU's name in the catalogue"""
    model: str
    """the model's name in the catalogue"""
    ctx: int
    """tokens"""

    @property
    def place(self) -> str:
        """Returns GPU, model and ctx as text."""
        return f"{self.gpu} {self.model} {self.ctx}"


@dataclass(frozen=True)
class SplitRow(PlaceRow):
    """An unquantised step, split into card and the rest, beside the paper's step. Times are in ms."""

    runtime: str
    """how a step is executed"""
    cache: str
    """kind of KV cache"""
    options: str
    """options of runtime and kernel, such as `sdpa:flash`"""
    attention_backend: str | None
    """software: the backend of attention that the sessions used, by the names of their kernels"""
    sessions: int
    hosts: int
    step_wall_ms: float
    """ms per step including the read-back of its token, by the host's clock"""
    step_wall_ms_low: float | None
    """ends of the interval of `step_wall_ms`"""
    step_wall_ms_high: float | None
    step_wall_ms_least: float | None
    """least and largest step of a session"""
    step_wall_ms_most: float | None
    paper_ms: float | None
    """the paper's step of the same runtime, None if it has none on this card"""
    paper_source: str | None
    """`A/B`, or `R_floor` for a step that an R_floor implies"""
    reading_ms: float | None
    """card: time to read the bytes at the measured bandwidth of the device"""
    kernels_ms: float | None
    """card: time in which kernels run, reading included"""
    outside_ms: float | None
    """time of the step in which no kernel runs"""
    host_ms: float | None
    """host: part of it that the passes attribute to launches (eager) and to reading the token back"""
    new_length_ms: float | None
    """software: part of it that a context length costs that is new to the process"""
    open_ms: float | None
    """part of it that passes which disagree leave open"""
    kernels_per_step: float | None
    """software: kernels launched per step"""
    launch_us: float | None
    """host: launch overhead of an empty kernel in µs"""
    read_share: float | None
    """card: measured read bandwidth over the datasheet's"""
    flags: list[str]
    cause: str | None
    """what the records show about the difference, None without a step of the paper"""
    reason: str | None
    """the numbers that show it"""
    origins: Origins
    """ids of the sessions by origin"""

    @property
    def label(self) -> str:
        return f"step of {self.place} {self.runtime}, {self.cache} cache"


@dataclass(frozen=True)
class ContrastRow(PlaceRow):
    """Two rows that differ in one field: second minus first. Times are in ms."""

    runtime: str
    cache: str
    field: str
    """the field in which they differ"""
    first: str
    """value of the field in the first row"""
    second: str
    part: str
    """what the field changes, and what else differs: card (and host, since cards are on different machines), software,
    or launches"""
    attention: str
    """backend of attention in both rows"""
    sessions: int
    """sessions of the row with fewer"""
    flags: list[str]
    step_first_ms: float
    step_second_ms: float
    step_ms: float
    """change of the step"""
    kernels_ms: float | None
    """change of the time in which kernels run"""
    reading_ms: float | None
    """change of the time to read the bytes at the measured bandwidth"""
    outside_ms: float | None
    """change of the time in which no kernel runs"""
    kernels_per_step: float | None
    """change of the number of kernels per step"""
    decided: str
    """`yes` if the ranges or intervals of the steps do not overlap and both have enough sessions, else `undecided`"""
    origins: Origins
    """ids of the sessions of both rows by origin"""

    @property
    def label(self) -> str:
        return f"{self.field} {self.first} against {self.second}: {self.place} {self.runtime}, {self.cache} cache"


@dataclass(frozen=True)
class DerivedRow(PlaceRow):
    """The product of two ratios of steps: eager with a dynamic cache over static, and eager over graph."""

    source: str | None
    """`A/Bs`, or `rows` if the ratios are of rows that were not measured in alternation; None without both ratios"""
    cache_ratio: float | None
    """eager step with a dynamic cache over one with a static cache"""
    graph_ratio: float | None
    """eager step over graph step, both with a static cache"""
    product: float | None
    """derived, not measured: the product of both ratios"""
    product_low: float | None
    """ends of the product: from A/Bs the products of the ratios' ends, from rows those of the first and last row"""
    product_high: float | None
    sessions: int | None
    """sessions of the arm or row with the fewest"""
    flags: list[str]
    missing: str
    """A/Bs and rows that are missing"""
    origins: Origins
    """ids of the sessions by origin: A/Bs, or the groups of the rows"""

    @property
    def label(self) -> str:
        return f"product of ratios of {self.place}"


@dataclass(frozen=True)
class ConditionRow(PlaceRow):
    """Steps of a cell under a declared condition of the host, beside those on the host as it is. Times are in ms."""

    runtime: str
    cache: str
    options: str
    condition: str
    """`as it is`, or the declared condition, such as `pinned:1`"""
    sessions: int
    hosts: int
    step_wall_ms: float
    """median over sessions"""
    step_wall_ms_least: float | None
    """least and largest step of a session"""
    step_wall_ms_most: float | None
    ratio: float | None
    """step over that on the same host as it is; None for that one, and without a common host"""
    ratio_low: float | None
    """ends of its range or interval"""
    ratio_high: float | None
    kernels_ms: float | None
    """time in which kernels run"""
    kernels_per_step: float | None
    launch_us: float | None
    """launch overhead of an empty kernel in µs"""
    allowed_cores: float | None
    """processors that the session could have used, None on the host as it is"""
    cores: float | None
    """processors that it did use"""
    neighbours: float | None
    """processes that computed beside it"""
    neighbour_cores: float | None
    """processors that they used on average"""
    flags: list[str]
    origins: Origins
    """ids of the sessions by origin"""

    @property
    def label(self) -> str:
        return f"{self.place} {self.runtime}, {self.cache} cache, {self.condition}"


@dataclass(frozen=True)
class LaunchRow(TracedRow):
    """A line through hosts: ms of an eager step against kernels per step times the launch overhead (ms).

    A host is the means of its sessions.
    """

    scope: str
    """the cell of the sessions, or `all cells`"""
    sessions: int
    hosts: int
    conditions: str
    """sessions by declared condition of the host, such as `as it is: 109`"""
    launches_low_ms: float | None
    """range of the hosts' kernels per step times the launch overhead"""
    launches_high_ms: float | None
    slope: float | None
    """ms of a step per ms of launches"""
    slope_low: float | None
    """ends of the 95 % confidence interval of the slope"""
    slope_high: float | None
    intercept_ms: float | None
    residual_ms: float | None
    """standard deviation of the hosts about the line"""
    r2: float | None
    """share of the variance of the hosts' steps that the line explains"""
    paper_ms: float | None
    """the paper's eager step"""
    kernels_per_step: float | None
    """kernels per step of our eager cell on the paper's card"""
    launch_us: float | None
    """launch overhead at which the line reaches the paper's step, None if it cannot be told"""
    launch_us_low: float | None
    """ends of its 95 % interval"""
    launch_us_high: float | None
    told: str
    """`yes`, or why it cannot be told"""
    origins: Origins
    """ids of the sessions, whose origin is no group"""

    @property
    def label(self) -> str:
        return f"line of steps against launches, {self.scope}"
