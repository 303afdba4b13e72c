"""Unquantised weights, each parameter stored in the cell's 16- or 32-bit dtype."""

from __future__ import annotations

from runner.declarations import FormatDeclaration

DECLARATION = FormatDeclaration(name="bf16", packed=False)
