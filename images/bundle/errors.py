"""The error of making a bundle: one line for the user."""

from __future__ import annotations


class Wrong(Exception):
    """A fault, what is allowed and what to do, in one line."""
