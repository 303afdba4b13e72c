"""The step of runtime `exllamav2`. Unlike its declaration it needs torch and the package at import."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from exllamav2 import ExLlamaV2, ExLlamaV2Cache, ExLlamaV2Config, attn

from runner.cell.floors import GATE_SHORT_CTX, GATE_STEPS, kv_alloc_tokens
from runner.declarations import Tokens
from runner.job import Job
from runner.record.heldbytes import SCRATCH
from runner.runtimes import _sdpa
from runner.worker import caches, packedfolder

CACHE_POSITIONS = 1  # its tensors are [batch, positions, kv_heads, head_dim]
CALLS_UNTIL_GRAPHS = 205  # MIN_GRAPH_INSTANCES of its cuda/graph.cuh: this call captures the graphs


class EngineStep:
    """Step (`runner.declarations.Step`) that runs the package's engine.

    The engine counts positions on the host, and its embedding is in host memory. Each step therefore begins by reading
    its token back.
    """

    runtime = "exllamav2"
    eager = None
    cache_kind = "engine"

    def __init__(self, engine: Any, cache: Any, tokens: Tokens) -> None:
        self._engine, self._cache, self._tokens = engine, cache, tokens
        self._position = tokens.sequence.new_zeros(1)
        self._chosen = tokens.sequence.new_zeros(1)
        self.logits: torch.Tensor = tokens.sequence.new_zeros(0)

    @property
    def settings(self) -> Mapping[str, str]:
        config = self._engine.config
        return {
            "attention": _attention(config),
            "embedding": str(self._engine.modules[0].device()),
            "graphs": "off" if config.no_graphs else "on",
            "max_input_len": str(config.max_input_len),
            "max_attention_size": str(config.max_attention_size),
            SCRATCH: str(sum(context.scratch_bytes for context in self._engine.device_context if context)),
            "cache": f"{type(self._cache).__name__} of {self._cache.max_seq_len}",
        }

    def prefill(self, tokens: int) -> torch.Tensor:
        self._cache.current_seq_len = 0
        self._forward(self._tokens.sequence[:tokens])
        self._position.fill_(tokens)
        return self._chosen

    def restart(self, position: int) -> None:
        self._cache.current_seq_len = position
        self._position.fill_(position)

    def __call__(self) -> torch.Tensor:
        self._forward(self._tokens.next(self._position, self._chosen))
        self._position.add_(1)
        return self._chosen

    def poison(self, position: int) -> None:
        self.logits.fill_(math.nan)
        caches.poison(self._cache_tensors(), position, CACHE_POSITIONS)

    def rows(self, start: int, stop: int) -> torch.Tensor:
        return caches.rows_between(self._cache_tensors(), start, stop, CACHE_POSITIONS)

    def stuck(self) -> None:
        return None

    def phases(self) -> None:
        return None

    def _cache_tensors(self) -> list[torch.Tensor]:
        return [*self._cache.key_states, *self._cache.value_states]

    def _forward(self, tokens: torch.Tensor) -> None:
        """Consumes tokens [n], and stores the last one's logits [vocab] and the token chosen from them.

        Without flash-attn the package (0.3.2) gives torch's SDPA no causal mask. For one token that is harmless. A
        prompt's tokens would see later ones, so a prompt uses the package's plain products with a mask.
        """
        self._engine.config.no_sdpa = len(tokens) > 1
        logits = self._engine.forward(tokens[None].cpu(), self._cache, last_id_only=True)[0, -1]
        self.logits = logits[: self._engine.config.vocab_size]
        self._chosen.copy_(self.logits.argmax(dim=-1, keepdim=True))


def _attention(config: Any) -> str:
    """Returns the attention that the package chooses on this machine, by its own rules."""
    if attn.has_flash_attn and not config.no_flash_attn:
        return "flash-attn"
    if attn.has_xformers and not config.no_xformers:
        return "xformers"
    return "sdpa, a prompt by products with a mask"


def build(model: Any, tokens: Tokens, job: Job) -> EngineStep:
    """Returns the engine's step (`runner.runtimes.exllamav2.build`)."""
    _sdpa.allow_only(job.cell.options[_sdpa.OPTION])
    rows = kv_alloc_tokens(job.cell.ctx, job.protocol.warmup, job.protocol.steps)
    with tempfile.TemporaryDirectory(prefix="decode-floor-") as scratch:
        folder = Path(scratch)
        if job.checkpoint is None:
            packedfolder.write(model, job.shape, folder)
        else:
            packedfolder.link(model, job.shape, Path(job.checkpoint), folder)
        packedfolder.release(model)
        config = ExLlamaV2Config(str(folder))
        config.max_seq_len = rows
        engine = ExLlamaV2(config)
        cache = ExLlamaV2Cache(engine, max_seq_len=rows, lazy=True)
        engine.load_autosplit(cache)
    step = EngineStep(engine, cache, tokens)
    _warm_up(step)
    return step


def _warm_up(step: EngineStep) -> None:
    """Runs the step until it has captured its graphs: no capture may fall into a timed window."""
    step.prefill(GATE_SHORT_CTX)
    for _ in range(0, CALLS_UNTIL_GRAPHS, GATE_STEPS):
        step.restart(GATE_SHORT_CTX)
        for _ in range(GATE_STEPS):
            step()
