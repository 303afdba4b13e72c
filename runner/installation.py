"""What locks, images and bundles have for a kernel or a runtime, as its declaration says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Installation:
    """How a package gets into an image or a bundle. `make lock` adds the requirements, which pip takes as they are."""

    wheels: tuple[str, ...] = ()
    """requirements that are published as wheels"""
    sources: tuple[str, ...] = ()
    """requirements that are published as source code, and built in the image"""
    beside: tuple[str, ...] = ()
    """distributions that the package imports, and that the host of a bundle need not have"""
    compiled: tuple[str, ...] = ()
    """patterns of the libraries that the image's builders compile, in a folder of the module path"""
    operators: tuple[str, ...] = ()
    """names of those libraries that torch loads as operators"""
