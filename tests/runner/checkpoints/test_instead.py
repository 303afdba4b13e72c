"""A folder without a checkpoint: the message names its contents and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checkpoints import refusal


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ([], "fetch or save the checkpoint again"),
        (
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
            "2 shards are there (model-00001-of-00002.safetensors, …), but not their index: fetch that, too, or save",
        ),
        (["model-00002-of-00002.safetensors"], "a shard is there (model-00002-of-00002.safetensors, …), but not"),
        (["adapter_config.json", "adapter_model.safetensors"], "only an adapter (as LoRA's) is there: merge it into"),
        (["tiny-Q4_K_M.gguf"], "only tiny-Q4_K_M.gguf is there: convert it to safetensors"),
        (["tf_model.h5"], "only tf_model.h5 is there: convert it to safetensors"),
        (["consolidated.safetensors"], "only consolidated.safetensors is there, with the release's own names"),
        (["model.fp16.safetensors"], "only the variant fp16 is there (model.fp16.safetensors): rename its files"),
        (["model.fp16-00001-of-00002.safetensors"], "only the variant fp16 is there (model.fp16-00001-of-00002.safe"),
        (["mine.safetensors"], "mine.safetensors is there: if it is the whole model, rename it to model.safetensors"),
        (["checkpoint-500/config.json"], "give the folder of one model, such as checkpoint-500 in it"),
    ],
)
def test_without_weights_it_is_said_what_is_there_instead(folder: Path, there: list[str], said: str) -> None:
    (folder / "model.safetensors").unlink()
    for name in there:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"{}")
    missing = "weights=x: neither model.safetensors nor model.safetensors.index.json there: "
    assert refusal(folder).startswith(missing + said)
