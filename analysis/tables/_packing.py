"""Packing of quantised weights, and deviations from the format's first choice."""

from __future__ import annotations

from runner import registry


def runtime_options(quant: str, options: str) -> list[str]:
    """Returns a cell's options without those that determine the packing of its weights."""
    packing_options = registry.weight_format(quant).DECLARATION.options
    return [option for option in options.split(",") if option and option.partition(":")[0] not in packing_options]


def other_packing(quant: str, scheme: str) -> list[str]:
    """Returns the parts of a scheme that differ from the format's first choice."""
    usual = registry.default_scheme(quant)
    words = {} if usual is None else {name: str(value) for name, value in usual.to_json().items()}
    pairs = [pair.partition(":") for pair in scheme.split(",") if pair]
    return [f"{name}:{value}" for name, _, value in pairs if words.get(name) != value]
