"""The parts of a model of packed weights: the tiny shape, and a scheme of each format."""

from __future__ import annotations

import torch

from runner.cell import catalogue
from runner.cell.scheme import Scheme
from runner.worker import model

CPU = torch.device("cpu")
TINY = catalogue.models()["tiny"].shape
SCHEMES = {
    "bnb-nf4": Scheme(64, double_quant=True),
    "gptq": Scheme(128, sym=True),
    "awq": Scheme(128),
}


def build(quant: str, dtype: torch.dtype = torch.float32) -> model.Build:
    """Returns the builder of the tiny model of this format."""
    return model.Build(TINY, quant, SCHEMES[quant], dtype, CPU)
