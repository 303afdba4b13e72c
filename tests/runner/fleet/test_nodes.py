"""The nodes of a fleet, as a study's plan and standing depend on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import BadValue, UnknownName
from runner.fleet.nodes import Nodes
from runner.plan import absent
from runner.study.declared import Arms
from runner.study.planned import plan_study
from runner.study.recorded.present import Present
from tests.support.studies import entry, known, planned, study

NODES = Nodes({"H100", "A100", "T4"})
BIG = {"model": "qwen2.5-7b", "ctx": "2048"}


def test_an_entry_of_a_nodes_gpu_is_resolved_with_the_card_of_the_catalogue() -> None:
    here, cpu, elsewhere = plan_study(study(entry(gpu="h100", **BIG), entry(gpu="cpu"), entry(gpu="l4", **BIG)), NODES)
    assert (here.waits_for, here.gpu, here.plans[0].device.name) == (None, "h100", "NVIDIA H100 80GB HBM3")
    assert (cpu.waits_for, cpu.plans[0].device.uuid) == (None, None)
    assert elsewhere.waits_for == "l4"


def test_why_an_entry_waits() -> None:
    assert NODES.lack("l4") == "no node of the fleet has l4"
    assert NODES.lack("rtx-4090") == "Ray has no name for rtx-4090: measure it without --fleet"
    assert NODES.lack("my-gpu") == "Ray has no name for my-gpu: measure it without --fleet"


def test_a_gpu_without_memory_in_the_catalogue_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absent, "card", lambda _entry: None)
    assert NODES.cards(entry(gpu="h100", **BIG)) is None
    assert NODES.lack("h100").startswith("the catalogue has no memory of h100")


def test_an_unknown_gpu_is_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean h100"):
        plan_study(study(entry(gpu="h10", **BIG)), NODES)


@pytest.mark.parametrize(
    ("fields", "arms", "said"),
    [
        ({"gpu": "auto"}, None, "s.yaml:1: matrix: gpu=auto means the GPU of one machine"),
        ({"gpu": "h100", "device": "1"}, None, "device=1 names a card of one machine"),
        ({"gpu": "h100", "weights": "./w"}, None, r"weights=\./w depends on the current folder"),
        ({"gpu": "h100"}, Arms("weights", "synthetic", "w"), "weights=w depends on the current folder"),
    ],
)
def test_an_entry_that_means_something_else_on_each_node_is_refused(
    fields: dict[str, str], arms: Arms | None, said: str
) -> None:
    with pytest.raises(BadValue, match=said):
        plan_study(study(entry(arms, **BIG, **fields)), NODES)


def test_a_checkpoint_that_the_driver_lacks_fails_its_cell_alone(tmp_path: Path) -> None:
    found, _ = plan_study(study(entry(gpu="h100", **BIG, weights=str(tmp_path / "absent")), entry()), NODES)
    assert found.failure is not None
    assert found.waits_for is None


def test_a_session_is_current_if_its_code_is_the_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Present, "code_difference", lambda _self, session: session.code_key and "other code")
    cell, today = planned(entry()), NODES.today(tmp_path)

    def difference(**changes: object) -> str | None:
        return today.difference(known(cell, **changes), cell.entry.request, cell.plans[0])

    assert difference() == "other code"
    assert difference(code_key=None) is None
    assert difference(container="sha256:1") is None  # the image has code of its own
    assert difference(status="failed") == "nothing was measured"
    assert (NODES.host_id("GPU-1"), NODES.memory_bytes()) == ("", None)
