"""Files shipped beside the packages: the catalogue, the studies, and the schemas of records and studies."""

from __future__ import annotations

from pathlib import Path

PACKAGES = Path(__file__).resolve().parents[2]
"""The folder that holds the packages: a checkout, or the site-packages of an installation."""
INSTALLED = PACKAGES / "decode_floor"
"""The folder for these files in a wheel (setup.py)."""


def folder(name: str) -> Path:
    """Returns the path of the folder `name` in the checkout, or of its copy in an installation. Not checked."""
    return (INSTALLED if INSTALLED.is_dir() else PACKAGES) / name
