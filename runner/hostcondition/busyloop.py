"""The program of a neighbour: computes until it is killed, and ends with the process that started it."""

from __future__ import annotations

import hashlib
import os

from runner.processes.parentwatch import die_with_parent

BLOCK = bytes(4096)
"""Data that fits into any first-level cache: a neighbour takes processor time, and no memory bandwidth."""
READY = b"."


def main() -> None:
    """Says on standard output that it computes, and computes."""
    die_with_parent()
    os.write(1, READY)
    while True:
        hashlib.sha256(BLOCK).digest()


if __name__ == "__main__":
    main()
