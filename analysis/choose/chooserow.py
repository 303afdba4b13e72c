"""The row of the choose table: a configuration with its evidence, its cost, and the ruling on it."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.choose.ruling import MEETS
from analysis.choose.worstsession import Point
from analysis.form import short_range
from analysis.row import GROUP, Row, group_anchor


@dataclass(frozen=True)
class ChooseRow(Row):
    """A configuration. A value that its source does not state is None or empty."""

    meets: str
    """whether it meets the limits, in a word or a few"""
    standing: str
    """`meets`, `lacks data` or `fails`"""
    reason: str
    """the number that the ruling follows from"""
    excess: float | None
    """the value that fails a limit as a multiple of that limit; None if none fails, or no limit could be met"""
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
    runtime: str
    """how a step is executed"""
    cache: str
    """kind of KV cache"""
    basis: str
    """`measured here`, `published (paper)` or `predicted`"""
    untested: bool
    """whether it is predicted for an architecture without a record"""
    source: str
    """what a published or predicted number comes from, or an energy that was measured with another protocol"""
    deadline_ms: float
    """the deadline for `tokens` tokens"""
    tokens: int
    step_wall_ms: float
    """ms per step including the read-back of its token: the median of the sessions' medians, published or predicted"""
    step_low_ms: float | None
    """ends of the range of a predicted step"""
    step_high_ms: float | None
    chunk_ms: float
    """median time of `tokens` tokens"""
    p99_ms: float | None
    """upper 95 % confidence bound on the 99th percentile of that time in the worst session; None if not supported"""
    slow_below_ms: float
    """deadline below which the row is too slow, without a limit on misses"""
    meets_from_ms: float | None
    """deadline from which it meets it; None if nobody knows one"""
    meets_as: str
    """the word with which it does"""
    barred: str
    """the word with which it fails or lacks something else, whatever the deadline; empty if it does not"""
    barred_standing: str
    """what `standing` then is"""
    missed: int | None
    """chunks of `tokens` steps of the worst session that missed the deadline"""
    chunks: int | None
    """all chunks of that session"""
    miss_probability: float | None
    """their ratio"""
    miss_upper: float | None
    """upper 95 % confidence bound on the probability of missing the deadline, in the worst session; None below three
    sessions"""
    tau: float | None
    """integrated autocorrelation time of that session's chunks"""
    n_eff: float | None
    """independent chunks that its chunks are worth"""
    miss_bounds: tuple[Point, ...]
    """the bound for other deadlines, in steps; empty below three sessions"""
    tokens_per_s: float
    """tokens of one stream per second"""
    joules_per_token: float | None
    joules_per_token_low: float | None
    """ends of its range over sessions"""
    joules_per_token_high: float | None
    usd_per_mtok: float | None
    """US dollars per million tokens of one stream, None without a price"""
    memory_left_bytes: float | None
    """memory of the card beyond what the session needs, in bytes"""
    accuracy: str
    """a caveat of quantised weights"""
    hosts: int | None
    """number of hosts that the sessions ran on"""
    flags: list[str]
    """flags: results that are valid but suspect"""
    dtype: str | None
    attention: str | None
    weights_id: str | None
    options: str | None
    scheme: str | None
    cell_key: str | None
    protocol: str | None
    code_key: str | None
    env_key: str | None
    status: str | None
    valid: bool | None
    sessions: int | None
    """sessions that the medians are over"""
    prefill_ms: float | None
    """recorded time to process the prompt, before the first token"""

    @property
    def anchor(self) -> str | None:
        return None if self.cell_key is None else group_anchor(self.value(key) for key in GROUP)

    @property
    def is_met(self) -> bool:
        """Returns whether the row meets every limit."""
        return self.standing == MEETS

    @property
    def title(self) -> str:
        """Returns the row's name for a sentence."""
        words = filter(None, (self.gpu, self.quant, self.kernel, self.runtime))
        return " ".join(dict.fromkeys(words))  # a kernel and its runtime may have one name

    @property
    def miss_words(self) -> str | None:
        """Returns the share of missed chunks with the bound on its expectation."""
        if self.miss_probability is None or self.miss_upper is None:
            return None
        return f"{100 * self.miss_probability:.3g} % (≤ {100 * self.miss_upper:.3g} %)"

    @property
    def sample_words(self) -> str | None:
        """Returns the sample that the bound comes from."""
        if self.n_eff is None:
            return None
        return f"{self.chunks} / {self.tau:.1f} = {self.n_eff:.0f}"

    @property
    def evidence(self) -> str:
        """Returns the kind of evidence, with `untested` for a prediction on an architecture without a record."""
        return f"{self.basis}, untested" if self.untested else self.basis

    @property
    def step_words(self) -> str:
        """Returns the step with the range of a prediction, or the bound on its p99."""
        return f"{self.step_wall_ms:.2f}{self._range_words(1)}{self._p99_words if self.tokens == 1 else ''}"

    @property
    def chunk_words(self) -> str:
        """Returns the time of the tokens with the range of a prediction, or the bound on its p99."""
        return f"{self.chunk_ms:.2f}{self._range_words(self.tokens)}{self._p99_words}"

    def _range_words(self, tokens: int) -> str:
        """Returns the range of a prediction for that many tokens, in brackets."""
        found = self._range(tokens)
        return "" if found is None else f" [{found}]"

    def _range(self, tokens: int) -> str | None:
        low, high = self.step_low_ms, self.step_high_ms
        return None if low is None else short_range(tokens * low, None if high is None else tokens * high)

    @property
    def _p99_words(self) -> str:
        return "" if self.p99_ms is None else f" (≤ {self.p99_ms:.2f})"

    @property
    def short_step_words(self) -> str:
        """Returns the step, or the range of a prediction in three digits."""
        return self._range(1) or f"{self.step_wall_ms:.2f}"

    @property
    def short_chunk_words(self) -> str:
        """Returns the time of the tokens, or the range of a prediction in three digits."""
        return self._range(self.tokens) or f"{self.chunk_ms:.2f}"

    @property
    def joules_words(self) -> str | None:
        """Returns the energy with its range over sessions."""
        if self.joules_per_token is None:
            return None
        low, high = self.joules_per_token_low, self.joules_per_token_high
        return f"{self.joules_per_token:.3f}" + ("" if low is None or high is None else f" [{low:.3f}–{high:.3f}]")

    @property
    def notes(self) -> list[str]:
        """Returns the reason of the ruling, the source of a number that was not measured here, and the caveat."""
        return [note for note in (self.reason, self.source, self.accuracy) if note]
