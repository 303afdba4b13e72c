"""4-bit integer formats: eight codes in an int32, and a scale and a zero point for each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runner.cell.scheme import Scheme
from runner.errors import BadCheckpoint

if TYPE_CHECKING:
    import torch

BITS = 4
PER_WORD = 8
LARGEST = 15
MIDDLE = 8
IN_ORDER = tuple(range(PER_WORD))


def pack(codes: torch.Tensor, order: Sequence[int] = IN_ORDER) -> torch.Tensor:
    """Packs codes [a, n] in 0..15 into words [a, n / 8] int32.

    Nibble i of a word, counted from the lowest, holds code order[i].
    """
    import torch

    words = codes.to(torch.int32).reshape(codes.shape[0], -1, PER_WORD)[..., list(order)]
    shifts = torch.arange(0, 32, BITS, device=codes.device, dtype=torch.int32)
    return (words << shifts).sum(dim=-1, dtype=torch.int32)


def unpack(words: torch.Tensor, order: Sequence[int] = IN_ORDER) -> torch.Tensor:
    """Unpacks words [a, n / 8] int32 into codes [a, n] int32: the inverse of `pack`."""
    import torch

    shifts = torch.arange(0, 32, BITS, device=words.device, dtype=torch.int32)
    nibbles = (words[..., None] >> shifts) & LARGEST
    inverse = sorted(range(PER_WORD), key=lambda nibble: order[nibble])
    return nibbles[..., inverse].reshape(words.shape[0], -1)


def quantise(weight: torch.Tensor, scheme: Scheme, zeros_from: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Quantises weight [out, in] by rounding to nearest, so that weight ≈ (code − zero) · scale.

    Returns codes [in, out], scales [groups, out] float16, and zeros [groups, out]. No zero is below `zeros_from`.
    """
    import torch

    grouped = weight.T.to(torch.float32, copy=True).reshape(-1, scheme.group_size, weight.shape[0])
    if scheme.sym:
        scales = grouped.abs().amax(dim=1).mul(2 / LARGEST)
        zeros = torch.full_like(scales, MIDDLE)
    else:
        low, high = grouped.amin(dim=1).clamp(max=0), grouped.amax(dim=1).clamp(min=0)
        scales = (high - low) / LARGEST
        zeros = torch.round(-low / scales.clamp(min=1e-8)).clamp(zeros_from, LARGEST)
    scales = scales.clamp(min=1e-7).half()
    codes = grouped.div_(scales[:, None].float()).add_(zeros[:, None]).round_().clamp_(0, LARGEST)
    return codes.reshape(weight.shape[1], -1).to(torch.int32), scales, zeros.to(torch.int32)


def dequantise(codes: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Returns (code − zero) · scale, [out, in] float32, of codes [in, out], scales, zeros [groups, out], groups [in].

    The result is exact: code − zero has at most five bits and a scale eleven.
    """
    return ((codes - zeros[groups]) * scales.float()[groups]).T


def scheme_of(config: Mapping[str, Any], **fields: bool) -> Scheme:
    """Returns the scheme of a quantization_config with 4 bits and groups.

    Raises BadCheckpoint for other bits or group sizes.
    """
    bits, size = config.get("bits"), config.get("group_size")
    if not isinstance(bits, int | float):
        raise BadCheckpoint(f"its bits are {bits!r}, not a number: only {BITS} are supported")
    if bits != BITS:
        raise BadCheckpoint(f"its weights have {bits} bits, only {BITS} are supported")
    if not isinstance(size, int) or size < PER_WORD:
        raise BadCheckpoint(f"its group_size is {size}, only groups of {PER_WORD} or more weights are supported")
    return Scheme(size, **fields)
