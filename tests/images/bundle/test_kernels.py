"""A folder of compiled kernels: unpacked for the module path, or refused for another GPU or Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from images.bundle import kernels
from images.bundle.errors import Wrong
from images.bundle.settings import settings
from tests.support.bundles import PYTHON, TAG, library, wheel


@pytest.mark.parametrize(
    ("capability", "tag", "why"),
    [
        (80, "py3-none-any", "some_kernel.so in {} is compiled for 8.0, not for 9.0, which hopper is"),
        (90, "cp39-cp39-linux_x86_64", f"some_kernel-1.0-cp39-cp39-linux_x86_64.whl is for cp39, the bundle for {TAG}"),
    ],
)
def test_kernels_for_another_gpu_or_python_are_refused(tmp_path: Path, capability: int, tag: str, why: str) -> None:
    folder = wheel(tmp_path / "k", "some_kernel-1.0", {"some_kernel.so": library(capability)}, tag).parent
    with pytest.raises(Wrong, match=why.format(folder)):
        kernels.unpack(folder, tmp_path / "site", settings("hopper", python=PYTHON))
