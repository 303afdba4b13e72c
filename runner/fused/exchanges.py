"""The order of a step as data: its phases, and the exchanges through which blocks hand values on.

The kernel's step.cu has this order in code. `exchangecheck` derives from it that no value is overwritten too early.
"""

from __future__ import annotations

from dataclasses import dataclass

QKV, SPLIT, JOIN, OUT, GATE_UP, DOWN, HEAD, CHOOSE = (
    *("qkv", "split", "join", "out", "gate_up", "down"),
    *("head", "choose"),
)


@dataclass(frozen=True)
class Phase:
    """A part of a step that every block goes through: it gathers what other blocks sent, and sends its own."""

    name: str
    has_barrier: bool = True
    """Whether all warps of a block have what they gathered before one of them sends."""


LAYER = (Phase(QKV), Phase(SPLIT), Phase(JOIN, has_barrier=False), Phase(OUT), Phase(GATE_UP), Phase(DOWN))
"""Phases of a layer, in order."""
END = (Phase(HEAD), Phase(CHOOSE))
"""Phases behind the last layer. They belong to it: their epochs are counted from its own."""


@dataclass(frozen=True)
class Exchange:
    """A buffer that one phase sends and another one gathers.

    Its packets carry an epoch: launch · 2 · layers + 2 · layer + half.
    """

    buffer: str
    sender: str
    reader: str
    sent: int
    """half that the sender adds, in its own layer"""
    awaited: int
    """half that the reader adds, in its own layer: −1 is the second half of the layer before"""


EXCHANGES = (
    Exchange("hidden", DOWN, QKV, sent=1, awaited=-1),
    Exchange("qkv", QKV, SPLIT, sent=0, awaited=0),
    Exchange("parts", SPLIT, JOIN, sent=0, awaited=0),
    Exchange("weights", SPLIT, JOIN, sent=0, awaited=0),
    Exchange("attention", JOIN, OUT, sent=0, awaited=0),
    Exchange("hidden", OUT, GATE_UP, sent=0, awaited=0),
    Exchange("activations", GATE_UP, DOWN, sent=0, awaited=0),
    Exchange("hidden", DOWN, HEAD, sent=1, awaited=1),
    Exchange("choices", HEAD, CHOOSE, sent=1, awaited=1),
)
"""In layer 0, `qkv` has the embedding's row instead of `hidden`."""
