"""Bounds that the declaration of a kernel or runtime states, where it is coarser than its dtype."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DerivedUnder:
    """The code of the sessions that a bound was derived from, and the ratio and spread that these state themselves."""

    code_key: str
    ratio: float
    spread: float


@dataclass(frozen=True)
class StatedBound:
    """How far the errors of an honest step lie from those of trusted eager (see bounds.yaml)."""

    ratio: float
    """the largest geometric mean of error / trusted error within a check"""
    spread: float
    """the largest standard deviation of that ratio's logarithm within a check"""
    evidence: str
    """the committed sessions that ratio and spread were derived from"""
    noise: float | None = None
    """the bound of sessions of gate version 1; None where it is the dtype's"""
    derived_under: DerivedUnder | None = None
    """None where all committed sessions of gate version 1 count"""
