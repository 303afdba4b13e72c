"""`python -m runner`: signals first, then the command line; a failure is one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import time
import traceback
from collections.abc import Sequence

from runner import parentwatch, signals
from runner.errors import DecodeFloorError, DiskFull, Interrupted, MissingPackage, Terminated

RUN_VARIABLE = "MLFLOW_RUN_ID"
TRACEBACK_VARIABLE = "DECODE_FLOOR_TRACEBACK"
FULL = (errno.ENOSPC, errno.EDQUOT)


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code. Under `mlflow run` a failure also closes MLflow's run."""
    started_ms = int(time.time() * 1000)
    signals.install()
    run_id = os.environ.get(RUN_VARIABLE)
    try:
        if run_id:
            # MLflow's telemetry thread would wake up, and use the network, inside timed windows
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            parentwatch.watch_ancestors(lambda: signals.explain(parentwatch.DEATH_MESSAGE))
        _command_line(arguments, started_ms)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        signals.ignore()
        code = _fail(_told(error), run_id)
    signals.ignore()
    return code


def _command_line(arguments: Sequence[str], started_ms: int) -> None:
    try:
        from runner import cli
    except ImportError as error:
        raise MissingPackage(
            f"{sys.executable} lacks the package {error.name}: use `make cell`, or activate the environment "
            "with `source .venv/bin/activate` (`make env` makes it)"
        ) from error
    cli.run(arguments, started_ms)


def _told(error: BaseException) -> DecodeFloorError:
    """Any failure as one of the family. An unexpected one is a bug: its type, and how to see more."""
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error)
    if isinstance(error, DecodeFloorError):
        return error
    if isinstance(error, OSError) and error.errno in FULL:
        return DiskFull(f"no space left ({error}): free some, then run the command again")
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("stopped by Ctrl-C")
    return DecodeFloorError(
        f"unexpected {type(error).__name__}: {error} (a bug; set {TRACEBACK_VARIABLE}=1 to see where)"
    )


def _fail(error: DecodeFloorError, run_id: str | None) -> int:
    print(f"error: {error}", file=sys.stderr, flush=True)
    if run_id:
        _close_run(run_id, error)
    return error.exit_code


def _close_run(run_id: str, error: DecodeFloorError) -> None:
    from runner import store

    killed = isinstance(error, Interrupted | Terminated)
    store.fail_run(run_id, error.reason, error.exit_code, str(error), killed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
