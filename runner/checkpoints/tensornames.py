"""The names of a checkpoint's tensors in transformers, and the tensors that transformers ignores."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.cell.scheme import Part
from runner.errors import BadCheckpoint

if TYPE_CHECKING:
    from runner.checkpoints.tensorfile import Tensor

BASE = "model."
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
# tables computed from the config, which older versions saved with the weights; no parameter has these names
BUFFERS = re.compile(
    r"(^|\.)(rotary_emb\.\w*(inv_freq|cos_cached|sin_cached)|\w*(attn|attention)\.(masked_bias|bias)|causal_mask|position_ids|rope\.freqs)$"
)
NO_WEIGHTS = re.compile(rf"{BUFFERS.pattern}|_extra_state$")  # Transformer Engine saves _extra_state
PACKED = re.compile(
    r"\.(qweight|qzeros|scales|g_idx|weight_packed|weight_scale|weight_scale_inv|W_q)$"
    r"|\.(nested_)?(absmax|quant_map)$|\.quant_state\."
)


def renamed(tensors: Mapping[str, Tensor], expected: Mapping[str, Part]) -> dict[str, Tensor]:
    """Returns the stored tensors under the model's names, without buffers.

    The prefix `model.` may be missing or doubled. A stored tied head is kept; if only the head is stored, it is the
    embedding. Raises BadCheckpoint if two tensors have the same name.
    """
    named: dict[str, Tensor] = {}
    for stored, tensor in tensors.items():
        name = _model_name(stored, expected)
        if name in named:
            raise BadCheckpoint(f"{named[name].name or name} and {stored} are the same tensor: remove one")
        if name in expected or not BUFFERS.search(name):
            named[name] = tensor if name == stored else replace(tensor, name=stored)
    if is_tied(expected) and EMBEDDING not in named and HEAD in named:
        head = named.pop(HEAD)
        named[EMBEDDING] = replace(head, name=head.name or HEAD)
    return named


def is_tied(expected: Mapping[str, Part]) -> bool:
    """Returns whether embedding and head are one matrix in a model of these tensors."""
    return HEAD not in expected


def _model_name(stored: str, expected: Mapping[str, Part]) -> str:
    """Returns the model's name of a stored tensor by transformers' rule: the name without the prefix if it exists, or
    else with it."""
    names = expected.keys() | {HEAD}
    if stored.startswith(BASE) and stored.removeprefix(BASE) in names:
        return stored.removeprefix(BASE)
    return BASE + stored if BASE + stored in names else stored
