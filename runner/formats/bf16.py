"""Unquantised weights, each parameter stored in the cell's 16- or 32-bit dtype."""

from __future__ import annotations

from runner.shape import ModelShape


def weight_bytes(shape: ModelShape, dtype_bytes: int) -> int:
    """Bytes of all weights `W`, a tied embedding counted once."""
    linears = sum(rows * columns for rows, columns in shape.linear_shapes) + shape.bias_parameters
    embeddings = shape.embedding_parameters * (1 if shape.tied_embedding else 2)
    return (shape.layers * linears + shape.norm_parameters + embeddings) * dtype_bytes
