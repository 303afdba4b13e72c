"""A runtime, a kernel or a format is one file: with that file alone it is measured, verified, stored and tabulated.

The files are those in tests/onefile/. They are copied into a folder of each test's own, and `sitecustomize.py` beside
them adds the folder to the packages' `__path__`, in the worker's process, too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.report import files
from analysis.sources import cache
from runner import formats, kernels, registry, runtimes
from runner.cell import catalogue
from runner.cell.cell import Cell
from runner.checkpoints import weightfiles
from runner.errors import BadCheckpoint, BadPair
from runner.job import Job
from runner.plan.request import Request
from runner.plan.resolve import resolve
from runner.record import bounds, codekey
from runner.record.statedbound import StatedBound
from runner.record.verify import actual
from tests.support import checkpoints
from tests.support.derive import typed
from tests.support.processes import ROOT
from tests.support.records import example_record

TOYS = ROOT / "tests" / "onefile"
FORMAT, RUNTIME = "formats/toy_int8.py", "runtimes/toy_step.py"
KERNEL, PLAIN_KERNEL = "kernels/toy_linear.py", "kernels/toy_plain.py"
CELL = ("--gpu", "cpu", "--model", "tiny", "--ctx", "64")
CELLS = {
    "a runtime": ((RUNTIME,), ("--runtime", "toy-step")),
    "a kernel": ((PLAIN_KERNEL,), ("--kernel", "toy-plain")),
    "all three": ((FORMAT, KERNEL, RUNTIME), ("--quant", "toy-int8", "--runtime", "toy-step")),
}


def copied(folder: Path, files: Sequence[str]) -> Path:
    """Returns a new folder that has these of the toy files, and what adds them to the packages."""
    for name in ("sitecustomize.py", *files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOYS / name, folder / name)
    return folder


def run(toys: Path, *arguments: str, **variables: str) -> str:
    """Runs `python -m` with the toy files; returns its output."""
    path = os.pathsep.join((str(toys), str(ROOT)))
    own = {"PYTHONPATH": path, "DECODE_FLOOR_ENGINE": "none", "DECODE_FLOOR_LOCK_DIR": str(toys)}
    command = [sys.executable, "-m", *arguments]
    finished = subprocess.run(
        command, cwd=toys, capture_output=True, text=True, timeout=300, env={**os.environ, **own, **variables}
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=() if name == "all three" else pytest.mark.whole) for name in CELLS],
)
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of the toy files, and that of the record of a session with them."""
    toy_files, options = CELLS[request.param]
    toys, spool = copied(tmp_path_factory.mktemp("toys"), toy_files), tmp_path_factory.mktemp("spool")
    run(toys, "runner", "cell", *CELL, *options, "--spool", str(spool))
    return toys, spool


@pytest.mark.slow
def test_a_session_with_it_is_valid_and_verify_finds_nothing(measured: tuple[Path, Path]) -> None:
    toys, spool = measured
    (path,) = spool.glob("*.json")
    record = json.loads(path.read_text())
    assert record["valid"], record["reasons"]
    assert "toy" in " ".join((record["cell"]["quant"], record["cell"]["kernel"], record["cell"]["runtime"]))
    assert run(toys, "runner", "verify", str(spool)) == "ok 1 record\n"


@pytest.mark.slow
def test_the_report_shows_it(measured: tuple[Path, Path], tmp_path: Path) -> None:
    toys, spool = measured
    run(toys, "analysis", "report", "--records", str(spool), "--out", str(tmp_path))
    assert "toy-" in (tmp_path / files.PAGE).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("measured", ["all three"], indirect=True)
def test_it_is_imported_and_tabulated_from_the_store(measured: tuple[Path, Path], tmp_path: Path) -> None:
    toys, spool = measured
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run(toys, "runner", "import", str(spool), MLFLOW_TRACKING_URI=uri)
    for table in ("floor", "quant"):
        (row, *_) = json.loads(run(toys, "analysis", table, "--store", uri, "--format", "json"))
        assert (row["quant"], row["kernel"], row["runtime"]) == ("toy-int8", "toy-linear", "toy-step"), table


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """A function that adds toy files to the packages of this process."""
    before = dict(sys.modules)

    def adds(*files: str) -> Path:
        toys = copied(tmp_path / "toys", files)
        for package in (formats, kernels, runtimes):
            folder = str(toys / package.__name__.rpartition(".")[2])
            monkeypatch.setattr(package, "__path__", [*package.__path__, folder])
        return toys

    yield adds
    for name in sys.modules.keys() - before.keys():
        package, _, own = name.rpartition(".")
        if own.startswith("toy_"):
            del sys.modules[name]
            delattr(sys.modules[package], own)


def declare(monkeypatch: pytest.MonkeyPatch, module: Any, **changes: Any) -> None:
    monkeypatch.setattr(module, "DECLARATION", replace(module.DECLARATION, **changes))


def tiny(**fields: str) -> Cell:
    return resolve(Request(gpu="cpu", model="tiny", ctx="64", **fields), ()).cell


def test_a_new_kernel_is_no_default(add: Callable[..., Path]) -> None:
    add(KERNEL, PLAIN_KERNEL)
    assert tiny().kernel == "torch-cpu"
    assert tiny(quant="bnb-nf4").kernel == "bitsandbytes"


def test_a_format_that_no_kernel_multiplies_is_refused_by_one_line(add: Callable[..., Path]) -> None:
    add(FORMAT)
    with pytest.raises(
        BadPair, match="quant=toy-int8 has no kernel in this version: choose quant=bf16 or quant=bnb-nf4"
    ):
        tiny(quant="toy-int8")
    add(KERNEL)
    assert tiny(quant="toy-int8").kernel == "toy-linear"
    with pytest.raises(BadPair, match=r"quant=gptq .* need a CUDA GPU.*quant=bf16, quant=bnb-nf4 or quant=toy-int8$"):
        tiny(quant="gptq")


def test_a_kernel_that_only_one_runtime_can_use_is_its_default_alone(
    add: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(PLAIN_KERNEL, RUNTIME)
    declare(monkeypatch, registry.kernel("toy-plain"), runtimes=("toy-step",))
    declare(monkeypatch, registry.runtime("toy-step"), kernels=("toy-plain",))
    assert tiny(runtime="toy-step").kernel == "toy-plain"
    with pytest.raises(BadPair, match="runtime=eager does not go with kernel=toy-plain: choose runtime=toy-step"):
        tiny(kernel="toy-plain")
    with pytest.raises(BadPair, match="kernel=torch-cpu does not go with runtime=toy-step: choose kernel=toy-plain"):
        tiny(kernel="torch-cpu", runtime="toy-step")


def test_a_step_launches_what_its_runtime_and_kernel_declare(
    add: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tiny_job: Job
) -> None:
    """tiny has 2 layers of 7 matrices."""
    add(PLAIN_KERNEL, RUNTIME)
    shape = tiny_job.shape
    assert registry.least_launches(tiny_job.cell, shape) == 2 * 7
    halved = replace(tiny_job.cell, kernel="toy-plain", runtime="toy-step")
    assert registry.least_launches(halved, shape) == 2 * 7 * 2
    declare(monkeypatch, registry.runtime("toy-step"), products=lambda shape: 5 * shape.layers)
    assert registry.least_launches(halved, shape) == 2 * 5 * 2
    declare(monkeypatch, registry.runtime("toy-step"), products=lambda _shape: 1)
    assert registry.least_launches(replace(halved, kernel="torch-cpu"), shape) == 1


def test_verify_asks_for_what_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example has 28 layers of 7 matrices, and 197 products a step."""
    record = typed(example_record())
    assert list(actual.differences(record)) == []
    declare(monkeypatch, registry.kernel("cublas"), launches_per_product=2)
    assert list(actual.differences(record)) == ["actual.products_per_step: 197, but the layers have at least 392"]


def test_it_brings_its_own_bound_or_is_held_to_its_dtypes(
    add: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(KERNEL, RUNTIME)
    path = ("bf16", "toy-step", "toy-int8", "toy-linear", 3584)
    assert bounds.cell_bounds(*path) == bounds.cell_bounds("bf16", "eager", "bf16", "torch-cpu", 3584)
    of_kernel, of_runtime = StatedBound(1.5, 0.06, "none"), StatedBound(2.5, 0.07, "none")
    declare(monkeypatch, registry.kernel("toy-linear"), bounds={"toy-int8": {"bf16": of_kernel}})
    assert bounds.cell_bounds(*path)["stated_ratio"] == 1.5
    declare(monkeypatch, registry.runtime("toy-step"), bounds={"bf16": of_runtime})
    assert bounds.cell_bounds(*path)["stated_ratio"] == 2.5
    assert (
        bounds.cell_bounds("fp16", *path[1:])["stated_ratio"]
        == bounds.cell_bounds("fp16", "", "", "", 3584)["stated_ratio"]
    )


@pytest.mark.slow
def test_code_key_and_the_frames_that_are_kept_depend_on_it(add: Callable[..., Path]) -> None:
    before = set(cache.sources())
    toys = add(PLAIN_KERNEL)
    file = toys / PLAIN_KERNEL
    assert set(cache.sources()) - before == {file}
    without = codekey.code_key()
    registry.kernel("toy-plain")
    first = codekey.code_key()
    assert codekey.code_files() is None  # it is outside the package
    file.write_text(file.read_text().replace("chunk(2)", "chunk(4)"))
    assert len({without, first, codekey.code_key()}) == 3


def test_a_checkpoint_of_it_is_found_and_checked(add: Callable[..., Path], tmp_path: Path) -> None:
    add(FORMAT, KERNEL)
    scheme = registry.packed_format("toy-int8").scheme({})
    parts = weightfiles.expected(checkpoints.SHAPE, "toy-int8", scheme)
    stored = {
        name: ("BF16" if part.dtype == weightfiles.ANY_FLOAT else part.dtype, part.shape)
        for name, part in parts.items()
    }
    packing = {"quant_method": "toy", "group_size": 32}
    folder = checkpoints.write(tmp_path / "weights", {**checkpoints.CONFIG, "quantization_config": packing})
    (folder / "model.safetensors").write_bytes(checkpoints.safetensors(stored))
    plan = resolve(Request(gpu="cpu", model="tiny", quant="toy-int8", weights=str(folder)), ())
    assert plan.scheme == scheme
    assert plan.cell.weights_id.startswith("content-")
    with pytest.raises(BadCheckpoint, match="which is not quant=bnb-nf4: choose quant=toy-int8"):
        resolve(Request(gpu="cpu", model="tiny", quant="bnb-nf4", weights=str(folder)), ())


@pytest.mark.medium
def test_a_models_checkpoints_may_be_of_it(
    add: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(FORMAT)
    text = (catalogue.SHIPPED / "models.yaml").read_text(encoding="utf-8")
    entry = '{hub: a/b, revision: null, note: "a toy"}'
    (tmp_path / "models.yaml").write_text(text.replace("    awq: {", f"    toy-int8: {entry}\n    awq: {{", 1))
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    assert any("toy-int8" in model.checkpoints for model in catalogue.models().values())
