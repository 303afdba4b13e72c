"""Versions and settings of a record are those of this process."""

import ctypes
import importlib.metadata
import platform
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from runner.cell.jsonform import to_json
from runner.machine import versions
from runner.worker import environment


def with_driver(job, driver):
    return replace(job, device=replace(job.device, driver=driver))


def test_versions_are_those_that_python_knows(tiny_job):
    found = environment.versions(with_driver(tiny_job, "580.95.05"))
    assert found == {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": importlib.metadata.version("transformers"),
        "triton": versions.of_package("triton"),
        "kernel_package": None,
        "driver_major": "580",
    }
    assert {type(version) for version in found.values()} <= {str, type(None)}  # torch's own is a subclass of str
    assert environment.versions(with_driver(tiny_job, None))["driver_major"] is None


def test_each_version_is_of_its_own_package(tiny_job, monkeypatch):
    monkeypatch.setattr(versions, "of_package", lambda package: f"version of {package}")
    cell = replace(tiny_job.cell, kernel="bitsandbytes")
    found = to_json(environment.environment(replace(tiny_job, cell=cell), 0))
    names = ("transformers", "triton", "accelerate")
    assert {name: found[name] for name in names} == {name: f"version of {name}" for name in names}
    assert found["kernel_package"] == "version of bitsandbytes"


class Driver:
    """libcuda, whose primary context has these flags."""

    def __init__(self, flags, failed=0):
        self.flags, self.failed = flags, failed

    def cuDevicePrimaryCtxGetState(self, _device, flags, active):
        flags._obj.value, active._obj.value = self.flags, 1
        return self.failed


@pytest.mark.parametrize(
    ("flags", "mode"),
    [(0, "auto"), (1, "spin"), (2, "yield"), (4, "blocking"), (4 | 8, "blocking"), (16 | 1, "spin"), (3, "unknown")],
)
def test_how_the_host_waits_is_told_by_the_lowest_three_flags(monkeypatch, flags, mode):
    """The next one, 8, maps host memory."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Driver(flags))
    assert environment.synchronise_mode() == mode
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Driver(flags, failed=3))
    assert environment.synchronise_mode() is None


def test_without_a_context_the_driver_is_not_asked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: pytest.fail("asked"))
    assert environment.synchronise_mode() is None


def test_settings_are_those_of_this_process(tiny_job, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(torch, "get_num_interop_threads", lambda: 5)
    for tf32 in (True, False):
        monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(allow_tf32=tf32))
        found = to_json(environment.environment(with_driver(tiny_job, "580.95.05"), 12))
        assert found["matmul_tf32"] is tf32
    assert (found["threads"], found["interop_threads"]) == (3, 5)
    assert (found["driver"], found["compile_cache_files"]) == ("580.95.05", 12)


def test_nothing_of_the_host_names_it(monkeypatch):
    monkeypatch.setattr(
        environment.host, "operating_system", lambda: "Linux 6.1 (GPU-927be1c2-7394-4607-713b-1b60619e7a4b)"
    )
    found = to_json(environment.host_facts())
    assert "927be1c2" not in found["os"]
    assert found["os"].startswith("Linux 6.1")
    assert found["cores"] == environment.host.cores()
    assert found["memory_bytes"] == environment.host.memory_bytes()
