"""The catalogue: what is committed is right, and what is wrong is named by file, entry and field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner import registry
from runner.cell import catalogue
from runner.checkpoints import modelconfig
from runner.errors import BadValue

NAMED = ("h100", "a100", "l40s", "l4", "h200", "b200", "rtx-4090", "rtx-5090", "rtx-pro-6000", "gb10")


def figure(value: float | None = 300.0) -> dict[str, Any]:
    return {"value": value, "source": "a page"}


def gpu_entry(**changes: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": "NVIDIA L4",
        "nvml": "NVIDIA L4",
        "compute_capability": "8.9",
        "compute_capability_source": "a page",
        "image": "ada",
        "image_reason": None,
        **{name: figure() for name in catalogue.FIGURES},
        "price_usd_per_hour": {**figure(), "date": "2026-11"},
    }
    return {**entry, **changes}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def write(folder: Path, name: str, data: Any) -> None:
    (folder / name).write_text(yaml.safe_dump(data))


def test_the_committed_catalogue_has_every_gpu_and_model_of_the_project() -> None:
    assert set(catalogue.gpus()) == {*NAMED, "jetson-orin", "jetson-thor", "cpu"}
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
    ],
)
def test_a_variant_is_not_taken_for_the_card(nvml_name: str, key: str | None) -> None:
    found = catalogue.gpu_for(nvml_name)
    assert (found.key if found else None) == key


def test_datasheet_bandwidths_are_the_papers() -> None:
    found = {key: catalogue.gpus()[key].bandwidth_gbs.value for key in ("h100", "a100", "l40s", "l4", "h200")}
    assert found == {"h100": 3350, "a100": 2039, "l40s": 864, "l4": 300, "h200": 4800}


def test_two_entries_for_one_card_are_refused(folder: Path) -> None:
    write(folder, "gpus.yaml", {"l4": gpu_entry(), "l-any": gpu_entry(nvml="NVIDIA L.*")})
    with pytest.raises(BadValue, match="l-any and l4 both match the NVML name 'NVIDIA L4'"):
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
        ({"memory_gb": {"value": True, "source": "x"}}, r"l4.memory_gb.value: true is not a number or null"),
    ],
)
def test_a_wrong_gpu_entry_is_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    write(folder, "gpus.yaml", {"l4": gpu_entry(**changes)})
    with pytest.raises(BadValue, match=message):
        catalogue.gpus()


def test_a_missing_field_is_named(folder: Path) -> None:
    entry = gpu_entry()
    del entry["l2_mib"]
    write(folder, "gpus.yaml", {"l4": entry})
    with pytest.raises(BadValue, match=r"gpus.yaml: l4.l2_mib: missing"):
        catalogue.gpus()


TINY = catalogue.models()["tiny"].shape.to_json()


def model_entry(**changes: Any) -> dict[str, Any]:
    return {"name": "m", **TINY, "source": "here", "checkpoints": {}, **changes}


LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LLAMA = {"model_type": "llama", "qkv_bias": False}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 0}, "layers: 0 is not a positive number"),
        ({"vocab": -512}, "vocab: -512 is not a positive number"),
        ({"layers": "2"}, "layers: '2' is not a whole number: write 2"),
        ({"layers": 2.0}, "layers: 2.0 is not a whole number: write 2"),
        ({"layers": 2.5}, "layers: 2.5 is not a whole number"),
        ({"layers": True}, "layers: true is not a whole number"),
        ({"layers": 10**5}, "layers: 100000 is too large (at most 10000)"),
        ({"hidden": 10**400}, "is too large (at most 1000000000000)"),
        ({"rope_theta": 10**400}, "is too large (at most 1000000000000)"),
        ({"name": 7}, "name: 7 is not text: write it in quotes"),
        ({"checkpoints": []}, "checkpoints: [] is not a mapping"),
        ({"layers": None}, "layers: null is not a whole number"),
        ({"rope_theta": "much"}, "rope_theta: 'much' is not a number"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps: nan is not a positive number"),
        ({"rms_norm_eps": 0.0}, "rms_norm_eps: 0.0 is not a positive number"),
        ({"rope_theta": float("inf")}, "rope_theta: inf is not a positive number"),
        ({"rope_theta": -1.0}, "rope_theta: -1.0 is not a positive number"),
        ({"kv_heads": 3}, "kv_heads: 4 heads cannot share 3 KV heads evenly"),
        ({"kv_heads": 8}, "kv_heads: 4 heads cannot share 8 KV heads evenly"),
        ({"hidden": 130}, "hidden: 130 is not a multiple of 4 heads"),
        ({"head_dim": 33}, "head_dim: 33 is odd, but a rotary embedding needs pairs"),
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
        (
            {**LLAMA, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
            "rope_scaling.rope_type: the gate does not support 'yarn' (allowed: llama3, or null)",
        ),
        ({"rope_scaling": {}}, "rope_scaling.rope_type: the gate does not support null"),
        ({"rope_scaling": {"type": "llama3"}}, "rope_scaling.type: an older name: write rope_type"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "rope_scaling.factor: missing"),
        ({"rope_scaling": {**LLAMA3, "factor": "8"}}, "rope_scaling.factor: '8' is not a number: write 8.0"),
        ({"rope_scaling": {**LLAMA3, "factor": 0}}, "rope_scaling.factor: 0 is not a positive number"),
        ({"rope_scaling": {**LLAMA3, "beta": 1}}, "rope_scaling.beta: unknown field"),
        ({"rope_scaling": {**LLAMA3, "high_freq_factor": 1}}, "rope_scaling.high_freq_factor: not above low_freq"),
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


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("rms_norm_eps", "1e-5", 1e-5),
        ("rms_norm_eps", "1E-05", 1e-5),
        ("rms_norm_eps", "1.0e-5", 1e-5),
        ("rope_theta", "1e6", 1e6),
        ("rope_theta", "5.e5", 5e5),
        ("rope_theta", "1000000", 1e6),
        ("vocab", "1_000", 1000),
        ("vocab", "0x200", 512),
        ("vocab", "0512", 512),  # YAML 1.1 takes that for 330
    ],
)
def test_numbers_are_read_as_people_write_them(folder: Path, field: str, text: str, value: float) -> None:
    lines = yaml.safe_dump({"m": {**model_entry(), field: "HERE"}})
    (folder / "models.yaml").write_text(lines.replace("HERE", text))
    assert getattr(catalogue.models()["m"].shape, field) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1:30", "'1:30' is not a number"),
        ("1e-5x", "'1e-5x' is not a number"),
        ("e5", "'e5' is not a number"),
        ("1.2.3", "'1.2.3' is not a number"),
        ("'1e-5'", "'1e-5' is not a number: write 1.0e-5"),
        ("'1e6'", "'1e6' is not a number: write 1000000.0"),
        ("'nan'", "'nan' is not a number"),
        (".nan", "nan is not a positive number"),
        (".inf", "inf is not a positive number"),
        ("1e400", "inf is not a positive number"),
    ],
)
def test_what_is_no_number_is_none(folder: Path, text: str, said: str) -> None:
    lines = yaml.safe_dump({"m": {**model_entry(), "rope_theta": "HERE"}})
    (folder / "models.yaml").write_text(lines.replace("HERE", text))
    with pytest.raises(BadValue) as caught:
        catalogue.models()
    assert str(caught.value) == f"models.yaml: m.rope_theta: {said}"


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("m: {a: 1}\nn: {a: 1}\nm: {a: 2}\n", "models.yaml: 'm' occurs twice, in lines 1 and 3: keep one of them"),
        ("m:\n  a: 1\n  b: 2\n  'a': 3\n", "models.yaml: 'a' occurs twice, in lines 2 and 4: keep one of them"),
        ("m: &x {a: 1}\nn: {<<: *x, b: 1, b: 2}\n", "models.yaml: 'b' occurs twice, in lines 2 and 2: keep one of"),
    ],
)
def test_a_name_that_stands_twice_is_refused(folder: Path, text: str, said: str) -> None:
    (folder / "models.yaml").write_text(text)
    with pytest.raises(BadValue) as caught:
        catalogue.models()
    assert str(caught.value).startswith(said)


def test_a_name_of_its_own_may_replace_one_that_is_merged_in(folder: Path) -> None:
    text = yaml.safe_dump({"m": model_entry()}).replace("m:\n", "m: &m\n", 1) + "n:\n  <<: *m\n  layers: 3\n"
    (folder / "models.yaml").write_text(text + "o:\n  <<: *m\n  layers: 4\n")
    assert [model.shape.layers for model in catalogue.models().values()] == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"m: " + b"[" * 900, "its brackets or lists are nested too deeply"),
        (b"- " * 5000, "its brackets or lists are nested too deeply"),
        (b"m: {a: 1\n", "not YAML (line 2, column 1: expected ',' or '}'"),
        (b"m: \x00\n", "not YAML (position 3: special characters are not allowed)"),
        (b"m: \xff\n", "not YAML (position 3: invalid start byte)"),
        (b"m: 2026-02-30\n", "not YAML (line 1, column 4: no such timestamp (day is out of range for month))"),
        (b"m: !!int x\n", "not YAML (line 1, column 4: no such int (invalid literal"),
        (b"m: !!bool x\n", "not YAML (line 1, column 4: no such bool ('x'))"),
        (b"m: " + b"9" * 5000, "not YAML (line 1, column 4: no such int (Exceeds the limit"),
        (b"{[1]: 2}\n", "not YAML (line 1, column 2: found unhashable key)"),
        (b"1: {}\n", "the name 1 is not text to YAML: write it in quotes"),
        (b"no: {}\n", "the name false is not text to YAML: write it in quotes"),
        (b"~: {}\n", "the name null is not text to YAML: write it in quotes"),
        (b"2026-02-01: {}\n", "the name datetime.date(2026, 2, 1) is not text to YAML: write it in quotes"),
    ],
)
def test_what_is_no_catalogue_is_one_line_with_the_place(folder: Path, text: bytes, said: str) -> None:
    (folder / "models.yaml").write_bytes(text)
    with pytest.raises(BadValue) as caught:
        catalogue.models()
    assert said in str(caught.value)
    assert "byte string" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_value_of_many_copies_is_shown_short(folder: Path) -> None:
    """Each list has nine times the one before it: written out, the last would fill any memory."""
    copies: list[Any] = ["x"]
    for _ in range(12):
        copies = [copies] * 9
    write(folder, "models.yaml", {"m": model_entry(name=copies)})
    with pytest.raises(BadValue, match=r"m\.name: \[.* is not text$") as caught:
        catalogue.models()
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("text", ["- a list\n", "a: [\n", ""])
def test_a_file_that_is_no_mapping_is_one_line(folder: Path, text: str) -> None:
    (folder / "gpus.yaml").write_text(text)
    with pytest.raises(BadValue, match=r"gpus\.yaml: (not YAML|must be a mapping)") as caught:
        catalogue.gpus()
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(BadValue, match=f"{folder}/gpus.yaml: cannot be read"):
        catalogue.gpus()


def test_the_entry_to_add_for_an_unknown_card_is_a_valid_entry_that_matches_it(folder: Path) -> None:
    name = "NVIDIA A100-SXM4-40GB (test)"
    (folder / "gpus.yaml").write_text(catalogue.entry_to_add("nvidia-a100-sxm4-40gb", name, "8.0"))
    found = catalogue.gpu_for(name)
    assert found is not None
    assert found.key == "nvidia-a100-sxm4-40gb"
