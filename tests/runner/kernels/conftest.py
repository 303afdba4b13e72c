"""The pretended extension of exllamav2, in place of the real one."""

import sys
from collections.abc import Iterator

import pytest

from runner import kernels
from tests.fakes.exllamav2_extension import Extension
from tests.support.packed_layers import module

LINEAR = "runner.kernels._exllamav2linear"


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch) -> Iterator[Extension]:
    """The pretended extension, for the modules that import it."""
    found = Extension()
    members = ("make_q_matrix", "gemm_half_q_half", "reconstruct", "free_q_matrix")
    module(monkeypatch, "exllamav2_ext", **{name: getattr(found, name) for name in members})
    # what imports it does so anew, and leaves nothing of the pretended one
    monkeypatch.delitem(sys.modules, LINEAR, raising=False)
    monkeypatch.delattr(kernels, "_exllamav2linear", raising=False)
    yield found
    sys.modules.pop(LINEAR, None)
    vars(kernels).pop("_exllamav2linear", None)
