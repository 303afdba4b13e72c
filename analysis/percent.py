"""Fractions as percentages, in the style of every page: a space before the sign."""

from __future__ import annotations


def percent(ratio: float, form: str = ".0%") -> str:
    """Returns a fraction as a percentage such as `16 %`, in this format of Python."""
    return format(ratio, form).replace("%", " %")
