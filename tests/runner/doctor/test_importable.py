"""The kernels and runtimes whose packages are here."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from runner import registry
from runner.doctor import importable
from runner.doctor.finding import NOTE, OK
from runner.files import shipped


def present(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    monkeypatch.setattr(importable, "is_findable", lambda name: name in modules)


MODULES = {each.module for each in (*registry.kernel_declarations(), *registry.runtime_declarations()) if each.module}


def test_with_all_packages_every_declared_kernel_and_runtime_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    present(monkeypatch, *MODULES)
    found = importable.finding("cuda", None)
    assert found.state == OK
    declared = (*registry.kernel_declarations(), *registry.runtime_declarations())
    assert set(found.finding.split(", ")) == {each.name for each in declared if "cuda" in each.devices}


def test_a_missing_package_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    present(monkeypatch, *(MODULES - {"gptqmodel"}))
    found = importable.finding("cuda", None)
    assert found.state == NOTE
    assert found.finding.endswith("; not here: marlin (package gptqmodel)")
    assert found.remedy == f"gptqmodel: {registry.kernel('marlin').DECLARATION.remedy}"


def test_a_kernel_without_its_package_is_not_listed_as_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    present(monkeypatch, *(MODULES - {"cuda.core"}))
    found = importable.finding("cuda", None)
    usable, _, lacking = found.finding.partition("; not here: ")
    assert "fused" not in usable.split(", ")
    assert lacking == "fused (package cuda-core)"
    assert found.remedy == "cuda-core: pip install cuda-core==1.2.2"


def test_the_image_of_the_gpu_has_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    present(monkeypatch)
    remedy = str(importable.finding("cuda", "ada").remedy)
    assert remedy.startswith("make image-ada makes an image that has them; ")
    assert remedy.count("exllamav2: ") == 1


def test_kernels_of_another_device_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    present(monkeypatch, "bitsandbytes")
    found = importable.finding("cpu", "cpu")
    assert found.state == OK
    assert "marlin" not in found.finding


@pytest.mark.medium
def test_no_package_is_imported() -> None:
    code = (
        "import sys; from runner.doctor.importable import finding; finding('cpu', None); print('torch' in sys.modules)"
    )
    assert importlib.util.find_spec("torch") is not None
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=shipped.PACKAGES, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
