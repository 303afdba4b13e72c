"""What can go wrong while a bundle is made: one line for the person at the terminal."""

from __future__ import annotations


class Wrong(Exception):
    """What was wrong, what is allowed and what to do, in one line."""
