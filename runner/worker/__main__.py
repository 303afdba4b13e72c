"""`python -m runner.worker JOB.json`: measures one job; with `--bench`, several runtimes of one model in turns.

The parent starts it; it is not meant to be typed.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from runner import job as jobs
from runner.bench.assignment import Assignment
from runner.cell.fieldtypes import ABSENT, Absent
from runner.errors import DecodeFloorError
from runner.job import BENCH, Job
from runner.processes.parentwatch import die_with_input, die_with_parent
from runner.record.sections.surroundings import HostConditions
from runner.runtimes import _compilecache
from runner.worker import packages
from runner.worker.progress import Clock, report_error

Observe = Callable[[], HostConditions | Absent]
"""Returns the condition of the host that a session really had; absent without one."""
UNWANTED = (
    "sklearn",  # transformers imports it (2 s) for a sampling method that no step uses
    "kernels",  # with it bitsandbytes downloads a compiled kernel from the hub at import, and would run it
)
# logger and text of bitsandbytes' warning that this kernel is missing
HUB_KERNEL_LOGGER, HUB_KERNEL = "bitsandbytes.backends.cpu.ops", "gemm_4bit_forward from kernels-community"


def main(arguments: Sequence[str]) -> int:
    """Returns exit code 0 if the result is written (valid or not), otherwise the error's own."""
    die_with_parent()
    die_with_input()
    *option, path = arguments
    try:
        _bench(Path(path)) if option else _session(Path(path))
    except DecodeFloorError as error:
        report_error(error.reason, error.exit_code, str(error))
        return error.exit_code
    return 0


def _session(path: Path) -> None:
    job = jobs.read(Job, path)
    clock = Clock(job.session.started_ms, job.started_s)
    packages.check_stack()
    packages.check_cell(job.cell)
    with _host_condition(job) as observe:
        with clock.phase("import", "import"):
            _prepare_import()
            _compilecache.use(job, path.resolve().parent)
            from runner.worker import session
        session.run(job, clock, observe)


def _host_condition(job: Job) -> AbstractContextManager[Observe]:
    """Returns a context in which the host has the job's condition. A session on the host as it is loads no code of
    conditions, so that its `code_key` does not depend on it."""
    if job.host_condition is None:
        return nullcontext(lambda: ABSENT)
    from runner.hostcondition import applying

    return applying.applied(job.host_condition)


def _bench(path: Path) -> None:
    """Measures several runtimes. A runtime whose package is missing is one of the results, not an error."""
    order = jobs.read(Assignment, path)
    clock = Clock(order.jobs[0].session.started_ms, order.jobs[0].started_s)
    packages.check_stack()
    with clock.phase("import", "import"):
        _prepare_import()
        _compilecache.use(order.jobs[0], path.resolve().parent)
        from runner.worker import bench
    bench.run(order, clock)


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
    if len(sys.argv) != 2 and sys.argv[1:-1] != [BENCH]:
        print(f"usage: python -m runner.worker [{BENCH}] JOB.json", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1:]))
