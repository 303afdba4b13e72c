"""The study files of experiments/ through the reader, the schema, the paper's figures and the resolver."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from runner.ab import arms
from runner.cell import catalogue
from runner.cli import program
from runner.machine.installedgpu import InstalledGpu
from runner.plan.resolve import resolve
from runner.study.declaration import studyfile
from runner.study.declared import Arms, Entry, Study
from tests.support.processes import ROOT

FOLDER = ROOT / "experiments"
DATA = {"gpus", "models", "paper"}
"""Files of the folder that are no studies."""
TAILS = {"tails": 18, "tails-dynamic": 8, "tails-p99": 4}
OTHERS = {"energy": 10, "host": 8, "smoke": 4, **TAILS}
FUSED = {"fused": 20, "graph-fused": 2}
ENTRIES = {
    "floor": 48,
    "floor-static": 48,
    "cuda-graphs": 2,
    "cache": 2,
    "quantisation": 28,
    "runtimes": 24,
    **FUSED,
    **OTHERS,
}
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs" / "study.schema.json").read_text(encoding="utf-8")))
PAPER: dict[str, Any] = yaml.safe_load((FOLDER / "paper.yaml").read_text(encoding="utf-8"))
PAPERS_KERNELS = {"": "auto", "bitsandbytes": "auto", "AutoAWQ+Marlin": "marlin", "ExLlamaV2": "exllamav2"}


def study(name: str) -> Study:
    return studyfile.read(FOLDER / f"{name}.yaml")


def text(name: str) -> str:
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def test_every_file_of_the_folder_is_data_or_a_study() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {*DATA, *ENTRIES}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_study_has_its_name_its_cells_and_a_header_in_words(name: str) -> None:
    found = study(name)
    assert (found.name, len(found.entries)) == (name, ENTRIES[name])
    assert len({entry.request for entry in found.entries}) == ENTRIES[name]
    header = [line for line in text(name).splitlines() if line.startswith("#")]
    assert header[0] == "# yaml-language-server: $schema=../docs/study.schema.json"
    assert any(line.startswith("# Source: ") for line in header[1:])


@pytest.mark.parametrize("name", ENTRIES)
def test_a_study_is_one_to_the_schema(name: str) -> None:
    assert [error.message for error in SCHEMA.iter_errors(yaml.safe_load(text(name)))] == []


def card(gpu: str) -> InstalledGpu:
    """Returns a card of the catalogue as this machine would list it."""
    entry = catalogue.gpus()[gpu]
    assert entry.memory_gb.value is not None
    return InstalledGpu(
        index=0,
        uuid="GPU-0",
        name=entry.nvml.replace("\\", "") if entry.nvml else "",
        memory_bytes=int(entry.memory_gb.value * 1e9),
        driver="580.1",
        compute_capability=entry.compute_capability,
        mig=False,
    )


def resolved(entry: Entry) -> list[str]:
    """Returns the keys of an entry's cells on a machine with its GPU; this machine's is an H100."""
    gpu = "h100" if entry.request.gpu == "auto" else entry.request.gpu
    installed = () if gpu == "cpu" else (card(gpu),)
    if entry.arms is None:
        return [resolve(entry.request, installed).cell.key]
    pair = arms.pair(entry.request, entry.arms.field, entry.arms.a, entry.arms.b, installed)
    return [arm.plan.cell.key for arm in pair.arms]


@pytest.mark.parametrize("name", ENTRIES)
def test_every_cell_can_be_measured_where_its_gpu_is_and_none_twice(name: str) -> None:
    entries = study(name).entries
    keys = Counter((key, entry.request.host_condition) for entry in entries for key in resolved(entry))
    assert {*keys.values()} == {1}


def test_floor_is_the_papers_matrix() -> None:
    cells = PAPER["cells"]
    found = {(entry.request.gpu, entry.request.model, int(entry.request.ctx)) for entry in study("floor").entries}
    assert found == set(product(cells["gpus"], cells["models"], cells["ctx"]))
    assert {(entry.request.runtime, entry.request.quant) for entry in study("floor").entries} == {("eager", "bf16")}


def test_cuda_graphs_is_the_papers_a_b() -> None:
    found = study("cuda-graphs")
    assert [(entry.request.gpu, entry.request.model, int(entry.request.ctx)) for entry in found.entries] == [
        (row["gpu"], row["model"], row["ctx"]) for row in PAPER["graphs"]
    ]
    assert found.sessions == PAPER["graphs"][0]["sessions"]
    assert {(entry.arms, entry.request.cache) for entry in found.entries} == {
        (Arms("runtime", "eager", "graph"), "static")
    }


def test_quantisation_has_the_papers_cells_on_the_l4() -> None:
    requests = [entry.request for entry in study("quantisation").entries if entry.request.gpu == "l4"]
    found = [(request.model, int(request.ctx), request.quant, request.kernel) for request in requests]
    rows = PAPER["quantised"]
    assert found == [(row["model"], row["ctx"], row["quant"], PAPERS_KERNELS[row["kernel"]]) for row in rows]


def test_quantisation_shares_its_first_cell_with_floor() -> None:
    first = study("quantisation").entries[0].request
    assert replace(first, study="floor") in {entry.request for entry in study("floor").entries}


def test_runtimes_are_those_of_this_machines_gpu_and_share_a_cache() -> None:
    requests = [entry.request for entry in study("runtimes").entries]
    assert {request.runtime for request in requests} == {"eager", "graph", "compile", "fused"}
    assert {(request.gpu, request.cache) for request in requests} == {("auto", "static")}


def test_tails_have_ten_windows_or_more_and_those_of_growing_caches_one() -> None:
    kinds = {name: study(name) for name in TAILS}
    requests = {name: [entry.request for entry in found.entries] for name, found in kinds.items()}
    assert {(name, request.protocol) for name, of_study in requests.items() for request in of_study} == {
        ("tails", "tail-long"),
        ("tails-dynamic", "tail"),
        ("tails-p99", "tail-long"),
    }
    assert {request.windows for request in requests["tails-p99"]} == {"190"}
    assert {request.windows for request in requests["tails"]} == {"auto"}
    assert {request.cache for request in requests["tails-dynamic"]} == {"dynamic"}
    assert {request.cache for request in requests["tails"]} == {"static", "engine"}
    assert {found.sessions for found in kinds.values()} == {3}
    everything = [request for of_study in requests.values() for request in of_study]
    assert {request.runtime for request in everything} == {"eager", "graph", "compile", "fused", "exllamav2"}
    assert {request.quant for request in everything} == {"bf16", "gptq", "awq", "bnb-nf4"}
    assert {(request.gpu, request.model, request.ctx) for request in everything} == {
        (gpu, "qwen2.5-7b", "2048") for gpu in ("h100", "h200")
    }


@pytest.mark.medium
@pytest.mark.parametrize("name", TAILS)
def test_a_dry_run_of_tails_lists_its_cells(name: str, tmp_path: Path) -> None:
    spool = str(tmp_path / "spool")
    result = CliRunner().invoke(program, ["study", "--dry-run", str(FOLDER / f"{name}.yaml"), "--spool", spool])
    assert result.exit_code == 0, result.output
    assert f"{name}: {ENTRIES[name]} cells: {ENTRIES[name]} waiting" in result.output
    assert "no h200 here" in result.output  # in a column where the width allows one


def test_smoke_needs_no_gpu() -> None:
    assert {(entry.request.gpu, entry.request.model) for entry in study("smoke").entries} == {("cpu", "tiny")}


def test_energy_is_measured_for_the_plain_runtimes_and_the_quantised_ones_on_two_cards() -> None:
    requests = [entry.request for entry in study("energy").entries]
    assert {(request.energy, request.model, request.ctx, request.cache) for request in requests} == {
        ("on", "qwen2.5-7b", "2048", "static")
    }
    ways = {(request.quant, request.runtime) for request in requests}
    assert ways == {("bf16", "fused"), *((quant, "graph") for quant in ("bf16", "gptq", "awq", "bnb-nf4"))}
    assert {(request.gpu, request.quant, request.runtime) for request in requests} == {
        (gpu, *way) for gpu in ("h100", "h200") for way in ways
    }
    assert study("energy").sessions == 3


def test_host_has_the_same_cell_under_four_conditions_in_turns() -> None:
    found = study("host")
    assert (found.sessions, found.interleaved) == (3, True)
    conditions = [entry.request.host_condition for entry in found.entries if entry.request.gpu == "h100"]
    assert conditions == ["none", "pinned:1", "busy:8", "busy:16"]
    assert len({key for entry in found.entries for key in resolved(entry)}) == 2
