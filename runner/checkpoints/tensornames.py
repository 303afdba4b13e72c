"""The names of a checkpoint's tensors: what transformers calls them, and which of them it reads over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.cell.scheme import Part
from runner.errors import BadCheckpoint

if TYPE_CHECKING:
    from runner.checkpoints.weightfiles import Tensor

BASE = "model."
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
# tables that follow from the config, which older versions saved with the weights; no parameter is called so
BUFFERS = re.compile(
    r"(^|\.)(rotary_emb\.\w*(inv_freq|cos_cached|sin_cached)|\w*(attn|attention)\.(masked_bias|bias)|causal_mask|position_ids|rope\.freqs)$"
)
NO_WEIGHTS = re.compile(rf"{BUFFERS.pattern}|_extra_state$")  # the latter as Transformer Engine saves its own
PACKED = re.compile(
    r"\.(qweight|qzeros|scales|g_idx|weight_packed|weight_scale|weight_scale_inv|W_q)$"
    r"|\.(nested_)?(absmax|quant_map)$|\.quant_state\."
)


def of_the_model(found: Mapping[str, Tensor], wanted: Mapping[str, Part]) -> dict[str, Tensor]:
    """The stored tensors under the model's names, without the buffers. The prefix `model.` may be missing or there
    twice. A tied head that is stored stays in; where it is stored alone, it is the embedding.

    Raises BadCheckpoint where two tensors have one name.
    """
    named: dict[str, Tensor] = {}
    for stored, tensor in found.items():
        name = _named(stored, wanted)
        if name in named:
            raise BadCheckpoint(f"{named[name].name or name} and {stored} are the same tensor: remove one")
        if name in wanted or not BUFFERS.search(name):
            named[name] = tensor if name == stored else replace(tensor, name=stored)
    if is_tied(wanted) and EMBEDDING not in named and HEAD in named:
        head = named.pop(HEAD)
        named[EMBEDDING] = replace(head, name=head.name or HEAD)
    return named


def is_tied(wanted: Mapping[str, Part]) -> bool:
    """Does a model of these tensors have one matrix as embedding and head?"""
    return HEAD not in wanted


def _named(stored: str, wanted: Mapping[str, Part]) -> str:
    """transformers' rule: without the prefix where the model has such a name, with it where it has that one."""
    known = wanted.keys() | {HEAD}
    if stored.startswith(BASE) and stored.removeprefix(BASE) in known:
        return stored.removeprefix(BASE)
    return BASE + stored if BASE + stored in known else stored
