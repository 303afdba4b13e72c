"""The installed bindings over a compiled libnvidia-ml.so.1 of two cards (tests/fakes/nvml_library.c): real error codes,
structs and texts. Over it the packages from nvidia-ml-py3 7.352 to nvidia-ml-py 13.615 were seen to answer alike.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "tests" / "fakes" / "nvml_library.c"
FIRST, SECOND = "GPU-11111111-aaaa-bbbb-cccc-000000000001", "GPU-22222222-aaaa-bbbb-cccc-000000000002"
ASK = """
import dataclasses, json, sys, pynvml
for name in sys.argv[2:]:
    delattr(pynvml, name)  # bindings older than that function
from runner.errors import DecodeFloorError
from runner.cell.jsonform import to_json
from runner.machine import nvml
try:
    listed = [dataclasses.asdict(gpu) for gpu in nvml.list_gpus()]
except DecodeFloorError as error:
    listed = [error.exit_code, str(error)]
print(json.dumps([listed, to_json(nvml.snapshot(sys.argv[1]))]))
"""
H200 = {
    "index": 0,
    "uuid": FIRST,
    "name": "NVIDIA H200",
    "memory_bytes": 150_754_820_096,
    "compute_capability": "9.0",
    "driver": "580.95.05",
    "mig": False,
    "fault": None,
}
L4 = H200 | {"index": 1, "uuid": SECOND, "name": "NVIDIA L4", "memory_bytes": 24_152_899_584}
L4["compute_capability"] = "8.9"
NOTHING = {"uuid": "", "name": "", "memory_bytes": 0, "compute_capability": None}
LOST = "NVML said 'GPU is lost'"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the compiled library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler (Debian: gcc)")
    folder = tmp_path_factory.mktemp("nvml")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", SOURCE], check=True)
    return folder


def ask(library: Path, *without: str, snapshot_of: str = FIRST, **variables: str) -> Any:
    """[the list, or the exit code and message of its error; a snapshot] by the bindings without some functions."""
    inherited = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    environment = {**inherited, "LD_LIBRARY_PATH": str(library), "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", ASK, snapshot_of, *without]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.medium
@pytest.mark.parametrize("without", [(), ("nvmlDeviceGetCudaComputeCapability", "nvmlDeviceGetMigMode")])
def test_two_cards_and_a_snapshot(library: Path, without: tuple[str, ...]) -> None:
    listed, taken = ask(library, *without, NVML_MIG="1")
    assert listed == [H200, L4 | {"mig": True}]
    assert (taken["available"], taken["temperature_c"], taken["power_w"]) == (True, 31, 71.25)
    assert (taken["memory_used_bytes"], taken["memory_total_bytes"]) == (2**30, H200["memory_bytes"])
    assert taken["ecc"] == {"enabled": True, "corrected": 0, "uncorrected": 0}
    assert taken["sm_clock_mhz"] is None  # the library has no such function


@pytest.mark.medium
def test_a_card_that_fell_off_the_bus(library: Path) -> None:
    listed, taken = ask(library, NVML_FAULT="0 all 15")
    assert listed == [H200 | NOTHING | {"fault": LOST}, L4]
    assert (taken["available"], taken["why"]) == (False, f"the GPU does not answer: {LOST}")
    assert ask(library, NVML_FAULT="0 all 15", CUDA_VISIBLE_DEVICES=SECOND[:12])[0] == [L4]
    code, said = ask(library, NVML_FAULT="0 all 15", CUDA_VISIBLE_DEVICES="0")[0]
    assert code == 14
    assert said.startswith(f"gpu 0 does not answer: {LOST}; nvidia-smi should say the same")


@pytest.mark.medium
def test_a_card_that_is_lost_while_it_is_asked(library: Path) -> None:
    listed, taken = ask(library, NVML_FAULT="1 nvmlDeviceGetMemoryInfo 15", snapshot_of=SECOND)
    assert listed == [H200, L4 | {"memory_bytes": 0, "fault": LOST}]
    assert (taken["available"], taken["temperature_c"]) == (False, None)


@pytest.mark.medium
def test_an_error_newer_than_the_bindings(library: Path) -> None:
    listed, _ = ask(library, NVML_FAULT="0 nvmlDeviceGetName 999999")
    assert listed == [H200 | NOTHING | {"uuid": FIRST, "fault": "NVML said 'Unknown Error'"}, L4]
