"""A package that is missing, or proves incomplete, is one line with its remedy."""

import importlib.util
from dataclasses import replace
from types import SimpleNamespace

import pytest

from runner.errors import MissingPackage
from runner.worker import packages


@pytest.fixture
def without(monkeypatch):
    """A function that hides a package from this interpreter."""
    find = importlib.util.find_spec

    def hide(hidden):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == hidden else find(name))

    return hide


def test_the_stack_is_here_or_named(without):
    packages.check_stack()
    without("safetensors")
    with pytest.raises(MissingPackage, match="safetensors"):
        packages.check_stack()


def test_a_cell_needs_the_packages_of_its_kernel_and_its_runtime(without, tiny_job):
    packages.check_cell(tiny_job.cell)
    without("cuda.core")
    fused = replace(tiny_job.cell, runtime="fused", kernel="fused")
    with pytest.raises(MissingPackage, match="kernel=fused needs the package cuda-core here: pip install cuda-core"):
        packages.check_cell(fused)


def test_a_package_that_is_not_whole_is_missing_and_anything_else_is_a_bug():
    declared = SimpleNamespace(package="autoawq", name="autoawq-triton", remedy="pip install it")
    said = r"package autoawq of autoawq-triton is incomplete .*: pip install it"
    with pytest.raises(MissingPackage, match=said), packages.import_errors(declared):
        raise ImportError("No module named triton")
    with (
        pytest.raises(ImportError, match="No module named ours"),
        packages.import_errors(SimpleNamespace(package=None)),
    ):
        raise ImportError("No module named ours")
