"""The catalogue: what is committed is right, and what is wrong is named by file, entry and field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from runner import registry
from runner.cell import catalogue
from runner.checkpoints import modelconfig
from runner.errors import BadValue
from tests.support.catalogues import LLAMA, LLAMA3, figure, gpu_entry, model_entry, write

NAMED = ("h100", "a100", "l40s", "l4", "h200", "b200", "rtx-4090", "rtx-5090", "rtx-pro-6000", "gb10")
JETSONS = ("jetson-orin", "jetson-orin-nx", "jetson-thor")
NVIDIAS = re.compile(
    r"nvidia\.com|github(\.com/|:)NVIDIA/|github:ai-dynamo/aiconfigurator|^NVIDIA .* (Data Sheet|whitepaper)"
    r"|NVIDIA's configuration|experiments/records"
)


def test_the_committed_catalogue_has_every_gpu_and_model_of_the_project() -> None:
    assert set(catalogue.gpus()) == {*NAMED, *JETSONS, "cpu"}
    assert set(catalogue.models()) == {"qwen2.5-7b", "mistral-7b", "llama-3.1-8b", "qwen2.5-0.5b", "tiny"}


def test_the_hub_has_weights_of_every_model_in_every_quant() -> None:
    for name, model in catalogue.models().items():
        assert set(model.checkpoints) == (set(registry.format_names()) if name != "tiny" else set())


@pytest.mark.parametrize(
    ("nvml_name", "key"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100-SXM4-40GB", None),
        ("NVIDIA A100 80GB PCIe", None),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA L40", None),
        ("NVIDIA L4", "l4"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA H200 NVL", None),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GB10", "gb10"),
        ("NVIDIA Thor", "jetson-thor"),
        ("Orin (nvgpu)", None),
    ],
)
def test_a_variant_is_not_taken_for_the_card(nvml_name: str, key: str | None) -> None:
    found = catalogue.gpu_for(nvml_name)
    assert (found.key if found else None) == key


def test_datasheet_bandwidths_are_the_papers() -> None:
    found = {key: catalogue.gpus()[key].bandwidth_gbs.value for key in ("h100", "a100", "l40s", "l4", "h200")}
    assert found == {"h100": 3350, "a100": 2039, "l40s": 864, "l4": 300, "h200": 4800}


@pytest.mark.parametrize(
    ("key", "gbs", "gigabytes", "watts"),
    [
        ("jetson-orin", 204.8, 64, 60),
        ("jetson-orin-nx", 102.4, 16, 40),
        ("jetson-thor", 273, 128, 130),
        ("gb10", 273, 128, 140),
    ],
)
def test_a_board_shares_its_memory_with_the_cpu(key: str, gbs: float, gigabytes: float, watts: float) -> None:
    board = catalogue.gpus()[key]
    assert (board.bandwidth_gbs.value, board.memory_gb.value, board.power_w.value) == (gbs, gigabytes, watts)
    assert board.shared_memory
    assert board.image is None


def test_every_gpu_has_bandwidth_memory_and_power_and_only_boards_share_memory() -> None:
    for key in (*NAMED, *JETSONS):
        gpu = catalogue.gpus()[key]
        assert None not in (gpu.bandwidth_gbs.value, gpu.memory_gb.value, gpu.power_w.value)
        assert gpu.shared_memory == (key in ("gb10", *JETSONS))


def test_a_figure_that_is_not_nvidias_own_says_so() -> None:
    for gpu in catalogue.gpus().values():
        for name in ("bandwidth_gbs", "memory_gb", "l2_mib", "power_w"):
            found = getattr(gpu, name)
            if found.value is not None and not NVIDIAS.search(found.source):
                assert "NVIDIA" in (found.note or ""), f"{gpu.key}.{name}"


def test_two_entries_for_one_card_are_refused(folder: Path) -> None:
    write(folder, "gpus.yaml", {"l4": gpu_entry(), "l-any": gpu_entry(nvml="NVIDIA L.*")})
    with pytest.raises(BadValue, match="l-any and l4 match the NVML name 'NVIDIA L4': make their patterns narrower"):
        catalogue.gpu_for("NVIDIA L4")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nvml": "NVIDIA ("}, r"gpus.yaml: l4.nvml: not a regular expression"),
        ({"image": "turing"}, r"gpus.yaml: l4.image: 'turing' is not one of ampere, ada"),
        ({"image": None}, r"gpus.yaml: l4.image: null needs its image_reason"),
        ({"colour": "green"}, r"gpus.yaml: l4.colour: unknown field"),
        ({"compute_capability": 8.9}, r"gpus.yaml: l4.compute_capability: 8.9 is not text or null: write it in quotes"),
        ({"compute_capability": "89"}, r"l4.compute_capability: '89' is not of the form major.minor"),
        ({"compute_capability_source": None}, r"l4.compute_capability: needs its compute_capability_source"),
        ({"price_usd_per_hour": figure()}, r"l4.price_usd_per_hour: a price needs its date"),
        ({"bandwidth_gbs": {"value": 1.0, "source": None}}, r"l4.bandwidth_gbs: a value needs its source"),
        ({"bandwidth_gbs": {"value": None, "source": None}}, r"l4.bandwidth_gbs: a null value needs a note"),
        ({"bandwidth_gbs": figure(-1)}, r"l4.bandwidth_gbs: -1 is not a positive number"),
        ({"bandwidth_gbs": {"value": 1.0}}, r"l4.bandwidth_gbs.source: missing"),
        ({"bandwidth_gbs": 300}, r"l4.bandwidth_gbs: 300 is not a mapping with value and source"),
        ({"bandwidth_gbs": figure(float("nan"))}, r"l4.bandwidth_gbs: nan is not a positive number"),
        ({"power_w": figure(0)}, r"l4.power_w: 0 is not a positive number"),
        ({"shared_memory": "no"}, r"l4.shared_memory: 'no' is not true or false"),
        ({"memory_gb": {"value": True, "source": "x"}}, r"l4.memory_gb.value: true is not a number or null"),
    ],
)
def test_a_wrong_gpu_entry_is_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    write(folder, "gpus.yaml", {"l4": gpu_entry(**changes)})
    with pytest.raises(BadValue, match=message):
        catalogue.gpus()


def test_an_entry_without_power_and_shared_memory_is_read(folder: Path) -> None:
    """Catalogues that people wrote before these two fields stay readable."""
    entry = gpu_entry()
    del entry["power_w"], entry["shared_memory"]
    write(folder, "gpus.yaml", {"l4": entry})
    gpu = catalogue.gpus()["l4"]
    assert (gpu.power_w.value, gpu.power_w.note, gpu.shared_memory) == (None, "not stated", False)


def test_a_missing_field_is_named(folder: Path) -> None:
    entry = gpu_entry()
    del entry["l2_mib"]
    write(folder, "gpus.yaml", {"l4": entry})
    with pytest.raises(BadValue, match=r"gpus.yaml: l4.l2_mib: missing"):
        catalogue.gpus()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": "2"}, "layers: '2' is not a whole number: write 2"),
        ({"layers": 2.0}, "layers: 2.0 is not a whole number: write 2"),
        ({"layers": 2.5}, "layers: 2.5 is not a whole number"),
        ({"layers": True}, "layers: true is not a whole number"),
        ({"hidden": 10**400}, "is too large (at most 1000000000000)"),
        ({"rope_theta": 10**400}, "is too large (at most 1000000000000)"),
        ({"name": 7}, "name: 7 is not text: write it in quotes"),
        ({"checkpoints": []}, "checkpoints: [] is not a mapping"),
        ({"layers": None}, "layers: null is not a whole number"),
        ({"rope_theta": "much"}, "rope_theta: 'much' is not a number"),
        ({"tied_embedding": 1}, "tied_embedding: 1 is not true or false"),
        (
            {"model_type": "qwen3"},
            "model_type: the gate was not tested with 'qwen3' (allowed: qwen2, mistral, llama); did you mean qwen2?",
        ),
        (
            {"model_type": "mixtral"},
            "the gate was not tested with 'mixtral' (allowed: qwen2, mistral, llama); did",
        ),
        ({"model_type": "Llama"}, "(allowed: qwen2, mistral, llama); did you mean llama?"),
        ({"model_type": "gpt_bigcode"}, "the gate was not tested with 'gpt_bigcode'"),
        ({"qkv_bias": False}, "qkv_bias: a qwen2 has biases at q, k and v"),
        ({"model_type": "llama"}, "qkv_bias: a llama has no biases at q, k and v"),
        ({"checkpoints": {"bf16": {"hub": "a/b"}}}, "checkpoints.bf16.revision: missing"),
        (
            {"checkpoints": {"gptk": {}}},
            "checkpoints.gptk: unknown quant (allowed: awq, bf16, bnb-nf4, gptq); did you mean",
        ),
        (
            {"checkpoints": {"bf16": {"hub": "a/b", "revision": "main"}}},
            "checkpoints.bf16.revision: 'main' is not a commit",
        ),
    ],
)
def test_a_wrong_model_entry_is_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    entry = model_entry(**changes)
    write(folder, "models.yaml", {"m": entry})
    with pytest.raises(BadValue) as caught:
        catalogue.models()
    assert str(caught.value).startswith("models.yaml: m.")
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["my model", "a/b", "auto", "-7b", "modèle", "$HOME"])
def test_a_name_that_no_command_could_give_is_refused(folder: Path, name: str) -> None:
    write(folder, "models.yaml", {name: model_entry()})
    with pytest.raises(BadValue, match=f"^models.yaml: {re.escape(name)}: not a model name: use letters"):
        catalogue.models()


def test_own_entries_of_the_tried_architectures_are_taken(folder: Path) -> None:
    entries = {
        "own-qwen": model_entry(),
        "own-llama": model_entry(**LLAMA, rope_scaling=LLAMA3),
        "own-mistral": model_entry(model_type="mistral", qkv_bias=False, head_dim=64),
    }
    write(folder, "models.yaml", entries)
    assert {model.shape.model_type for model in catalogue.models().values()} == {"qwen2", "llama", "mistral"}
    assert set(catalogue.ARCHITECTURES) == set(modelconfig.DEFAULTS)


def test_a_commit_or_none_is_a_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {quant: {"hub": "a/b", "revision": revision} for quant, revision in (("bf16", 40 * "a"), ("awq", None))}
    write(tmp_path, "models.yaml", {"m": model_entry(checkpoints=entries)})
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    found = catalogue.models()["m"].checkpoints
    assert (found["bf16"].revision, found["awq"].revision) == (40 * "a", None)


@pytest.mark.parametrize(
    ("field", "written", "meant"),
    [("hidden", "hidden_size", "hidden"), ("layers", "num_hidden_layers", "layers"), ("vocab", "vocabs", "vocab")],
)
def test_a_field_under_another_name_is_told_its_own(folder: Path, field: str, written: str, meant: str) -> None:
    entry = model_entry()
    write(folder, "models.yaml", {"m": {written: entry.pop(field), **entry}})
    with pytest.raises(BadValue, match=rf"^models.yaml: m.{written}: unknown field .*; did you mean {meant}\?$"):
        catalogue.models()


def test_the_entry_to_add_for_an_unknown_card_is_a_valid_entry_that_matches_it(folder: Path) -> None:
    name = "NVIDIA A100-SXM4-40GB (test)"
    (folder / "gpus.yaml").write_text(catalogue.entry_to_add("nvidia-a100-sxm4-40gb", name, "8.0"))
    found = catalogue.gpu_for(name)
    assert found is not None
    assert found.key == "nvidia-a100-sxm4-40gb"
