"""`python -m runner.worker JOB.json`: measures one job. The parent starts it; it is not meant to be typed."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from pathlib import Path

from runner import failures, registry
from runner import job as jobs
from runner.cell.cell import Cell
from runner.errors import DecodeFloorError, MissingPackage
from runner.processes.parentwatch import die_with_input, die_with_parent
from runner.runtimes import _compilecache
from runner.worker.progress import Clock, report_error

STACK = ("torch", "transformers", "safetensors")
"""Packages that every session imports."""
UNWANTED = (
    "sklearn",  # transformers imports it (2 s) for a sampling method that no step uses
    "kernels",  # with it bitsandbytes downloads a compiled kernel from the hub at import, and would run it
)
# logger and text of bitsandbytes' warning that this kernel is missing
HUB_KERNEL_LOGGER, HUB_KERNEL = "bitsandbytes.backends.cpu.ops", "gemm_4bit_forward from kernels-community"


def main(path: str) -> int:
    """Returns exit code 0 if the record is written (valid or not), otherwise the error's own."""
    die_with_parent()
    die_with_input()
    try:
        job = jobs.read(Path(path))
        clock = Clock(job.session.started_ms)
        _check_packages(job.cell)
        with clock.phase("import", "import"):
            _prepare_import()
            _compilecache.use(job, Path(path).resolve().parent)
            from runner.worker import session
        session.run(job, clock)
    except DecodeFloorError as error:
        report_error(error.reason, error.exit_code, str(error))
        return error.exit_code
    return 0


def _check_packages(cell: Cell) -> None:
    """Raises MissingPackage if this interpreter lacks a package of the stack, the kernel or the runtime.

    It runs before anything slow. An incomplete package shows only in use.
    """
    for name in STACK:
        if importlib.util.find_spec(name) is None:
            raise failures.missing_package(name)
    kernel, runtime = registry.kernel(cell.kernel).DECLARATION, registry.runtime(cell.runtime).DECLARATION
    for choice, declared in ((f"kernel={kernel.name}", kernel), (f"runtime={runtime.name}", runtime)):
        if declared.module is not None and importlib.util.find_spec(declared.module) is None:
            raise MissingPackage(f"{choice} needs the package {declared.package} here: {declared.remedy}")


def _prepare_import() -> None:
    """Prepares the environment for the only import of torch and transformers.

    transformers must not access the hub. The caller's settings must not enable TF32: the reference needs float32.
    """
    for name in UNWANTED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # Python's mark of a module that cannot be imported
    logging.getLogger(HUB_KERNEL_LOGGER).addFilter(lambda record: HUB_KERNEL not in record.getMessage())
    os.environ["NVIDIA_TF32_OVERRIDE"] = os.environ["TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"] = "0"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: python -m runner.worker JOB.json", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1]))
