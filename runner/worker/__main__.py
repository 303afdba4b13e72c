"""`python -m runner.worker JOB.json`: measure one job. Started by the parent; not meant to be typed."""

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
"""What every session imports."""
UNWANTED = (
    "sklearn",  # transformers imports it, 2 s, for a way of sampling that no step here takes
    "kernels",  # with it bitsandbytes fetches a compiled kernel from the hub when it is imported, and would run that
)
# what bitsandbytes says, and where, when it has not got that kernel
HUB_KERNEL_LOGGER, HUB_KERNEL = "bitsandbytes.backends.cpu.ops", "gemm_4bit_forward from kernels-community"


def main(path: str) -> int:
    """Exit code 0 when the record is written (valid or not), the error's own otherwise."""
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
    """Raises MissingPackage before anything that takes long, where a package of the stack, the kernel or the runtime is
    not in this interpreter. That it is whole shows only when it is used."""
    for name in STACK:
        if importlib.util.find_spec(name) is None:
            raise failures.lacks(name)
    kernel, runtime = registry.kernel(cell.kernel).DECLARATION, registry.runtime(cell.runtime).DECLARATION
    for what, needed in ((f"kernel={kernel.name}", kernel), (f"runtime={runtime.name}", runtime)):
        if needed.module is not None and importlib.util.find_spec(needed.module) is None:
            raise MissingPackage(f"{what} needs the package {needed.package} here: {needed.remedy}")


def _prepare_import() -> None:
    """torch is imported once, here; transformers must not ask the hub for anything behind our back, and no setting of
    the caller's may turn TF32 on in a reference that has to be float32."""
    for name in UNWANTED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # how Python marks a module that is not to be found
    logging.getLogger(HUB_KERNEL_LOGGER).addFilter(lambda record: HUB_KERNEL not in record.getMessage())
    os.environ["NVIDIA_TF32_OVERRIDE"] = os.environ["TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"] = "0"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: python -m runner.worker JOB.json", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1]))
