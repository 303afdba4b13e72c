"""Packages that locks, images and bundles install for a kernel or a runtime."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Installation:
    """Requirements and libraries of a package. `make lock` adds the requirements to the locks, in pip's syntax."""

    wheels: tuple[str, ...] = ()
    """requirements that are published as wheels"""
    sources: tuple[str, ...] = ()
    """requirements that are published as source code and built in the image"""
    beside: tuple[str, ...] = ()
    """distributions that the package imports, and that the host of a bundle may lack"""
    compiled: tuple[str, ...] = ()
    """patterns of the libraries that the image's builders compile, in a folder of the module path"""
    operators: tuple[str, ...] = ()
    """names of compiled libraries that torch loads as operators"""
