"""Packages of locks: read, fetched by pip by hash, unpacked without what does not belong on the module path."""

from __future__ import annotations

from pathlib import Path

import pytest

from images.bundle import packages
from images.bundle.errors import Wrong
from tests.support.bundles import wheel


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("ERROR: No matching distribution found for torch==2.13.0+cpu\n", "No wheel of torch==2.13.0+cpu for CPython"),
        ("ERROR: OSError [Errno 28] No space left on device\n", "No space left on device while wheels are fetched"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n    click==8.5.1 from x:\n",
            "The wheel of click==8.5.1 for CPython 3.12 has none of the hashes of its lock",
        ),
    ],
)
def test_pips_failures_are_one_line(said: str, line: str) -> None:
    assert packages._reason(said, "3.12").startswith(line)


def test_a_wheel_that_would_write_elsewhere_is_refused(tmp_path: Path) -> None:
    bad = wheel(tmp_path, "bad-1", {"../outside.py": b""})
    with pytest.raises(Wrong, match=r"bad-1-py3-none-any.whl has the file ../outside.py"):
        packages.unpack(bad, tmp_path / "site")
