"""`eager`: the transformers module called step by step from Python, one kernel launch at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from runner.cell.floors import kv_alloc_tokens
from runner.declarations import RuntimeDeclaration
from runner.runtimes import _sdpa

if TYPE_CHECKING:
    import torch

    from runner.declarations import Step, Tokens
    from runner.job import Job
    from runner.record.sections.passes import Phases
    from runner.worker.caches import Cache

DECLARATION = RuntimeDeclaration(
    name="eager",
    devices=("cuda", "cpu"),
    caches=("dynamic", "static"),
    attentions=("sdpa",),
    graph_mode="none",
    options={_sdpa.OPTION: _sdpa.BACKENDS},
    prefill_chunk_tokens=2048,
)


class EagerStep:
    """Step (`runner.declarations.Step`) that calls the transformers module.

    All its state is on the device, in buffers with fixed addresses, so that other runtimes can capture or compile
    `decode_one_token` unchanged.
    """

    runtime = "eager"
    eager = None
    settings: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self, model: Any, cache: Cache, tokens: Tokens, chunk_tokens: int = DECLARATION.prefill_chunk_tokens
    ) -> None:
        self.model = model
        self.chunk_tokens = chunk_tokens
        self.cache = cache
        self.tokens = tokens
        self.position = tokens.sequence.new_zeros(1)
        self.chosen = tokens.sequence.new_zeros(1)
        self.logits: torch.Tensor = tokens.sequence.new_zeros(0)

    @property
    def cache_kind(self) -> str:
        from runner.worker import caches

        return caches.detected_kind(self.cache.rows, int(self.position))

    def prefill(self, tokens: int) -> torch.Tensor:
        self.cache.clear()
        for start in range(0, tokens, self.chunk_tokens):
            chunk = self.tokens.sequence[start : min(start + self.chunk_tokens, tokens)]
            self.logits = self.forward(chunk, self.tokens.sequence.new_tensor(range(start, start + len(chunk))))
        self.position.fill_(tokens)
        return self.chosen

    def restart(self, position: int) -> None:
        self.cache.restart(position)
        self.position.fill_(position)

    def __call__(self) -> torch.Tensor:
        self.logits = self.decode_one_token()
        return self.chosen

    def poison(self, position: int) -> None:
        from runner.worker import caches

        self.logits.fill_(math.nan)
        caches.poison(caches.tensors(self.cache.rows), position, caches.POSITIONS)

    def rows(self, start: int, stop: int) -> torch.Tensor:
        from runner.worker import caches

        return caches.rows_between(caches.tensors(self.cache.rows), start, stop, caches.POSITIONS)

    def stuck(self) -> None:
        return None

    def phases(self) -> None:
        return None

    def decode_one_token(self) -> torch.Tensor:
        """Consumes the token at `position`, chooses the next one, and advances. Returns the logits [vocab]."""
        logits = self.forward(self.tokens.next(self.position, self.chosen), self.position)
        self.position.add_(1)
        return logits

    def forward(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Returns the logits [vocab] of the last of tokens [n] at positions [n], and stores its choice in `chosen`."""
        output = self.model(
            input_ids=tokens[None],
            position_ids=positions[None],
            past_key_values=self.cache.rows,
            use_cache=True,
            logits_to_keep=1,
            **self.cache.extra_arguments(positions),
        )
        logits: torch.Tensor = output.logits[0, -1]
        self.chosen.copy_(logits.argmax(dim=-1, keepdim=True))
        return logits


class StepOverEager:
    """Base of a step that is made of an eager step, and shares its cache, buffers, prefill and restart."""

    logits: torch.Tensor

    def __init__(self, step: EagerStep) -> None:
        self._step, self._chosen = step, step.chosen
        self.prefill, self.restart, self.rows = step.prefill, step.restart, step.rows

    def poison(self, position: int) -> None:
        self._step.poison(position)
        self.logits.fill_(math.nan)

    @property
    def eager(self) -> Step:
        return self._step

    @property
    def cache_kind(self) -> str:
        return self._step.cache_kind

    @property
    def settings(self) -> Mapping[str, str]:
        return self._step.settings

    def stuck(self) -> str | None:
        return None

    def phases(self) -> Phases | None:
        return None


def build(model: Any, tokens: Tokens, job: Job, chunk_tokens: int = DECLARATION.prefill_chunk_tokens) -> EagerStep:
    """Returns the step of this job's cell over a cache of its kind, with a prefill in chunks of `chunk_tokens`.

    The option `sdpa` restricts scaled_dot_product_attention to one backend.
    """
    from runner.worker import caches

    if backend := job.cell.options.get(_sdpa.OPTION):
        _sdpa.allow_only(backend)
    allocation = kv_alloc_tokens(job.cell.ctx, job.protocol.warmup, job.protocol.steps)
    return EagerStep(model, caches.make(job.cell.cache, model, allocation), tokens, chunk_tokens)
