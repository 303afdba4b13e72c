"""The worker as a program: a real tiny session in a fresh process, its record checked number by number."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from runner.cell.cell import Cell
from runner.cell.jsonform import to_json
from runner.cell.scheme import Scheme
from runner.errors import MissingPackage
from runner.machine import versions
from runner.record import codekey, read, record
from runner.record.verify import recompute
from runner.study.recorded import known
from runner.study.recorded.present import Present
from tests.support.processes import SMALL_CACHE

ROOT = Path(__file__).parents[3]


WEIGHTS = {
    "packed": ["--quant", "bnb-nf4"],
    "checkpoint": ["--quant", "bnb-nf4", "--weights", str(ROOT / "tests" / "written" / "bnb-nf4-single")],
}
WAYS = {
    "dynamic": ["--cache", "dynamic"],
    "static": ["--cache", "static"],
    **{name: ["--cache", "static", *options] for name, options in WEIGHTS.items()},
}


OTHERS = ("static", "checkpoint")
"""Ways that other tests of whole sessions have, too."""


@pytest.fixture(
    scope="module", params=[pytest.param(way, marks=pytest.mark.whole if way in OTHERS else ()) for way in WAYS]
)
def measured(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spool")
    options = ["--gpu", "cpu", "--model", "tiny", "--ctx", "64", *WAYS[request.param], "--spool", str(folder)]
    finished = subprocess.run(
        [sys.executable, "-m", "runner", "cell", *options],
        cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": SMALL_CACHE},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    (path,) = folder.glob("*.json")
    return json.loads(path.read_text()), path, finished.stderr


@pytest.mark.slow
def test_the_record_follows_from_its_raw_values_and_the_schema(measured):
    found, path, _ = measured
    assert recompute.differences(found) == []
    jsonschema.validate(found, json.loads((ROOT / "docs" / "record.schema.json").read_text()))
    assert read.faults(found) == []
    assert path.stat().st_size <= 32 * 1024


@pytest.mark.slow
def test_the_gate_checked_the_timed_path(measured):
    found, _, _ = measured
    names = [check["name"] for check in found["gate"]["checks"]]
    assert names[:3] == ["short", "wall", "ctx"]
    assert found["valid"]
    assert found["actual"]["kernel"] == found["cell"]["kernel"] in ("torch-cpu", "bitsandbytes")
    assert found["gate"]["checks"][1]["positions"] == [64 + 5 + 30 - 1]


@pytest.mark.slow
def test_phases_are_shown(measured):
    for phase in ("load", "prefill", "verify", "warm up", "measure"):
        assert phase in measured[2]


@pytest.mark.slow
def test_keys_name_code_environment_and_host(measured):
    keys = measured[0]["keys"]
    assert {"cell_key", "code_key", "tree_key", "env_key", "host_id", "code_files"} == keys.keys()
    assert codekey.key_of_files(keys["code_files"], {}) == keys["code_key"]
    cell = Cell.from_json(measured[0]["cell"])
    assert record.env_key_of(versions.installed(cell, measured[0]["gpu"]["driver"])) == keys["env_key"]
    (session,) = known.read(measured[1].parent).sessions
    assert Present(measured[1].parent).difference(session, cell, None, measured[0]["gpu"]["driver"]) is None
    assert {"worker/session.py", "record/bounds.yaml", "runtimes/eager.py"} <= {*keys["code_files"]}


QUIET = """
import logging, sys
from runner.worker.__main__ import _prepare_import
_prepare_import()
import bitsandbytes
for text in ("Failed to load CPU gemm_4bit_forward from kernels-community: no", "something else"):
    logging.getLogger("bitsandbytes.backends.cpu.ops").warning(text)
"""


@pytest.mark.slow
def test_bitsandbytes_fetches_no_kernel_and_says_nothing_of_it(tmp_path):
    """It asks for one where the CPU has AVX512-BF16; whatever else it warns of is shown."""
    (tmp_path / "kernels.py").write_text("import sys; print('imported', file=sys.stderr)")
    finished = subprocess.run(
        [sys.executable, "-c", QUIET],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))},
    )
    assert (finished.returncode, finished.stderr) == (0, "something else\n")


@pytest.fixture
def worker(tiny_job, tmp_path):
    """A function that runs the worker on the job of a GPU cell, on a CPU, where these modules are all but empty."""

    def run(modules, **fields):
        for name in modules:
            (tmp_path / f"{name}.py").touch()
        cell = replace(tiny_job.cell, quant="gptq", dtype="fp16", options={"sym": "true", "sdpa": "flash"}, **fields)
        job = tmp_path / "job.json"
        job.write_text(json.dumps(to_json(replace(tiny_job, cell=cell, scheme=Scheme(128, sym=True)))))
        return subprocess.run(
            [sys.executable, "-m", "runner.worker", str(job)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))},
        )

    return run


ENGINE = {"kernel": "exllamav2", "runtime": "exllamav2", "cache": "engine", "attention": "engine"}
MARLIN = "pip install gptqmodel==7.3.6 torchvision==0.26.0 (its kernels are compiled"


@pytest.mark.medium
@pytest.mark.parametrize(
    ("modules", "fields", "said"),
    [
        ((), {"kernel": "marlin"}, f"kernel=marlin needs the package gptqmodel here: {MARLIN}"),
        ((), ENGINE, "kernel=exllamav2 needs the package exllamav2 here: build its extension"),
        (("exllamav2_ext",), ENGINE, "runtime=exllamav2 needs the package exllamav2 here: pip install"),
    ],
)
def test_a_package_that_is_missing_is_one_line_with_how_to_get_it(worker, modules, fields, said):
    """It is looked for before anything is loaded: here there is no GPU either."""
    finished = worker(modules, **fields)
    assert finished.returncode == MissingPackage.exit_code, finished.stdout
    assert said in finished.stdout
    assert "@phase" not in finished.stdout
    assert "Traceback" not in finished.stderr


@pytest.mark.whole
@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "fields", "said"),
    [
        (("gptqmodel",), {"kernel": "marlin"}, "the package gptqmodel of marlin is incomplete here (No module named "),
        (
            ("exllamav2_ext", "exllamav2"),
            ENGINE,
            "package exllamav2 of exllamav2 is incomplete here (cannot import",
        ),
    ],
)
def test_a_package_that_is_only_half_there_is_one_line_too(worker, modules, fields, said):
    finished = worker(modules, **fields)
    assert finished.returncode == MissingPackage.exit_code, finished.stdout + finished.stderr
    assert said in finished.stdout
    assert "Traceback" not in finished.stderr
