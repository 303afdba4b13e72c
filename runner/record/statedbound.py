"""Bounds that a kernel or runtime declares if its arithmetic is coarser than its dtype."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DerivedUnder:
    """The code key of the sessions that a bound was derived from, and the ratio and spread that they state."""

    code_key: str
    ratio: float
    spread: float


@dataclass(frozen=True)
class StatedBound:
    """A declared bound on the ratio of a correct step's errors to those of trusted eager (see bounds.yaml)."""

    ratio: float
    """largest geometric mean of error / trusted error within a check"""
    spread: float
    """largest standard deviation of that ratio's logarithm within a check"""
    evidence: str
    """committed sessions that ratio and spread were derived from"""
    noise: float | None = None
    """bound for sessions of gate version 1; None if it is the dtype's"""
    derived_under: DerivedUnder | None = None
    """code of those sessions; None if they are the committed sessions of gate version 1"""
