"""The runtime `fused`: the eager step that fills its cache does so in the chunks of the declaration."""

from __future__ import annotations

import pytest

from runner.job import Job
from runner.runtimes import _fusedstep, eager, fused
from runner.worker import caches, tokens

CPU = "cpu"


@pytest.mark.medium
def test_the_prompt_passes_in_the_chunks_of_the_declaration(tiny_job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[eager.EagerStep] = []
    monkeypatch.setattr(caches, "make", lambda *_: None)
    monkeypatch.setattr(_fusedstep, "FusedStep", lambda step, _shape: found.append(step))
    drawn = tokens.draw(tiny_job.shape.vocab, 100, 0, CPU)
    fused.build(None, drawn, tiny_job)
    found.append(eager.build(None, drawn, tiny_job))
    assert [step.chunk_tokens for step in found] == [
        fused.DECLARATION.prefill_chunk_tokens,
        eager.DECLARATION.prefill_chunk_tokens,
    ]
    assert fused.DECLARATION.prefill_chunk_tokens < eager.DECLARATION.prefill_chunk_tokens
