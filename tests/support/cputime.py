"""The CPU time of a piece of work, whatever ran before it in this process and runs beside it on this machine."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """Returns the result of the work and its seconds of CPU time.

    The objects of earlier tests are frozen, and stay so: the garbage collector would search them again and again,
    which took longer than the work.
    """
    gc.collect()
    gc.freeze()
    began = time.process_time()
    result = work()
    return result, time.process_time() - began
