"""Each GPU of the catalogue has Ray's name, or is known to have none."""

from __future__ import annotations

import pytest

from runner.cell import catalogue
from runner.cell.vocabulary import CPU
from runner.fleet import accelerators
from runner.plan import absent


def test_every_gpu_of_the_catalogue_is_in_the_list() -> None:
    assert set(accelerators.types()) == set(catalogue.gpus()) - {CPU}


@pytest.mark.medium
def test_the_names_are_rays_own() -> None:
    names = pytest.importorskip("ray.util.accelerators.accelerators")
    constants = {value for name, value in vars(names).items() if name.startswith("NVIDIA_")}
    assert {kind for kind in accelerators.types().values() if kind is not None} <= constants


@pytest.mark.medium
def test_a_node_detects_the_name_from_the_name_of_its_card() -> None:
    detected = pytest.importorskip("ray._private.accelerators.nvidia_gpu").NvidiaGPUAcceleratorManager
    for gpu, kind in accelerators.types().items():
        card = absent.card(catalogue.gpus()[gpu])
        if kind is not None:
            assert card is not None
            assert detected._gpu_name_to_accelerator_type(card.name) == kind, gpu


def test_the_studies_of_the_paper_have_names() -> None:
    assert all(accelerators.types()[gpu] for gpu in ("h100", "a100", "l40s", "l4"))
