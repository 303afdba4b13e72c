"""Fitting of the constants: least squares on relative errors, from the groups of kernels outwards to the host."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy

from analysis.prediction import stepmodel
from analysis.prediction.constants import Architecture, Products, Remainder, StepPath
from analysis.prediction.kernelgroups import PLAIN
from analysis.prediction.observations import Observation
from analysis.prediction.workload import DYNAMIC, Configuration, layer_parameters
from runner.cell import catalogue
from runner.errors import BadRecord

START = (0.8, 5.0)
"""Start of the fit of the plain products: share of the bandwidth, and µs of the shortest product."""
MOST_US = 100.0
"""Longest least time of a product."""
ONE_KERNEL_START = (0.8, 0.0, 15.0)
"""Start of the fit of a step that is one kernel: share of the bandwidth, µs per MB, and µs of the shortest layer."""
MOST_ERROR = 0.1
"""Largest error, as a logarithm, of a row of a step that is one kernel; if one is larger, the fit starts elsewhere."""
HOST_PACED = 1.1
"""Time of a step without read-back over the time of its kernels, above which the host sets the pace."""
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Outside:
    """The time of a step outside its kernels: µs between two of them, and ms of read-back."""

    gap_us: float
    readback_ms: float


def fit(observed: Sequence[Observation]) -> Architecture:
    """Returns the constants of rows of one architecture, without their spreads.

    Raises BadRecord without a row of unquantised weights on cuBLAS, whose products show the share of the memory's
    bandwidth and the time of the shortest product.
    """
    first = observed[0]
    plain = _plain(observed)
    if not plain:
        raise BadRecord(
            f"no record of {PLAIN} on {first.gpu}: measure an unquantised cell there, the fit of all others needs it"
        )
    products = _all_products(observed, _plain_products(plain))
    whole = [row for row in observed if not row.configuration.is_one_kernel]
    return Architecture(
        name=_name(first.gpu, first.capability),
        capability=first.capability,
        gpus={row.gpu: row.bandwidth_gbs for row in observed},
        head_share=_mean(row.work.head_bytes / row.bandwidth_gbs / 1e3 / row.times.head for row in whole),
        products=products,
        paths=_paths(observed),
        remainders=_remainders(observed),
        probe_correlation=_probe_correlation(observed),
    )


def is_possible(observed: Sequence[Observation]) -> bool:
    """Returns whether `fit` accepts these rows."""
    return bool(_plain(observed))


def _plain(observed: Iterable[Observation]) -> list[Observation]:
    return [row for row in observed if row.configuration.kernel == PLAIN]


def _name(gpu: str, capability: str) -> str:
    entry = catalogue.gpus().get(gpu)
    return (entry and entry.image) or f"sm_{capability.replace('.', '')}"


def _plain_products(plain: Sequence[Observation]) -> Products:
    """Returns share and least time of the unquantised products."""
    return _share_and_least_time(
        Products(plain[0].configuration.quant, PLAIN, START[0], 0.0, START[1]), plain, _product_error
    )


def _share_and_least_time(
    start: Products,
    rows: Sequence[Observation],
    error: Callable[[Observation, Products], float],
    most_us: float = MOST_US,
) -> Products:
    """Returns the products with the share of the bandwidth and the least time, up to `most_us`, that leave the smallest
    errors."""
    from scipy.optimize import least_squares  # half a second, which commands that predict nothing do not need

    def errors(values: Sequence[float]) -> list[float]:
        products = replace(start, share=float(values[0]), fixed_us=float(values[1]))
        return [error(row, products) for row in rows]

    share, fixed_us = least_squares(errors, (start.share, start.fixed_us), bounds=([0.05, 0.0], [1.0, most_us])).x
    return replace(start, share=float(share), fixed_us=float(fixed_us))


def _all_products(observed: Sequence[Observation], plain: Products) -> tuple[Products, ...]:
    by_kernel = _by(observed, lambda row: (row.configuration.quant, row.configuration.kernel))
    fitted = [_products(quant, kernel, rows, plain) for (quant, kernel), rows in by_kernel.items() if kernel != PLAIN]
    return (plain, *fitted)


def _products(quant: str, kernel: str, rows: Sequence[Observation], plain: Products) -> Products:
    """Returns the products of packed weights, or of a step that is one kernel."""
    from scipy.optimize import least_squares

    if rows[0].configuration.is_one_kernel:
        return _layers_of_one_kernel(Products(quant, kernel, *ONE_KERNEL_START), rows)

    def errors(values: Sequence[float]) -> list[float]:
        return [_product_error(row, replace(plain, us_per_mb=values[0])) for row in rows]

    start = _mean(row.times.products / row.work.layers / sum(row.work.matrices) * 1e6 for row in rows)
    (us_per_mb,) = least_squares(errors, [start], bounds=([0.0], [numpy.inf])).x
    return Products(quant, kernel, plain.share, float(us_per_mb), plain.fixed_us)


def _layers_of_one_kernel(start: Products, rows: Sequence[Observation]) -> Products:
    """Returns the share of the bandwidth at which a layer is read, and the least time of a layer, in which its blocks
    exchange values. That is 0 if memory limits the layers of every row: such rows do not show it.

    A least time below what memory takes has no effect, so that a fit which starts there may not find it. If that fit
    misses a row by far, a second one starts at the shortest layer of the rows.
    """
    found = _share_and_least_time(start, rows, _whole_error, most_us=math.inf)
    if max(abs(_whole_error(row, found)) for row in rows) > MOST_ERROR:
        shortest_us = min(row.times.products / row.work.layers for row in rows)
        other = _share_and_least_time(replace(start, fixed_us=shortest_us), rows, _whole_error, most_us=math.inf)
        found = min(found, other, key=lambda each: sum(_whole_error(row, each) ** 2 for row in rows))
    sizes = [(row, size) for row in rows for size in row.work.matrices]
    shows = any(stepmodel.product_us(size, found, row.bandwidth_gbs) == found.fixed_us for row, size in sizes)
    return found if shows else replace(found, fixed_us=0.0)


def _whole_error(row: Observation, products: Products) -> float:
    return math.log(stepmodel.whole_us(row.work, products, row.bandwidth_gbs) / row.times.products)


def _product_error(row: Observation, products: Products) -> float:
    fitted = sum(stepmodel.product_us(size, products, row.bandwidth_gbs) for size in row.work.matrices)
    return math.log(row.work.layers * fitted / row.times.products)


def _paths(observed: Sequence[Observation]) -> tuple[StepPath, ...]:
    by_path = _by(observed, lambda row: (row.configuration.runtime, row.configuration.cache))
    outside = _outside(observed)
    return tuple(_path(runtime, cache, rows, outside) for (runtime, cache), rows in by_path.items())


def _outside(observed: Sequence[Observation]) -> Outside:
    """Returns gap and read-back of the runtime with the shortest read-back among those with several kernels a step.

    They stand for the runtimes that the host paces, which hide both.
    """
    several = [row for row in observed if not row.configuration.is_one_kernel]
    by_runtime = _by(several, lambda row: row.configuration.runtime)
    paced = [_own_outside(rows) for rows in by_runtime.values() if not _is_host_paced(rows)]
    return min(paced, key=lambda each: each.readback_ms, default=Outside(0.0, 0.0))


def _own_outside(rows: Sequence[Observation]) -> Outside:
    """Returns gap and read-back of rows that the device paces."""
    return Outside(
        gap_us=_middle((row.rate_ms - row.busy_ms) / row.kernels * 1e3 for row in rows),
        readback_ms=_middle(row.wall_ms - row.rate_ms for row in rows),
    )


def _is_host_paced(rows: Sequence[Observation]) -> bool:
    return statistics.median(row.rate_ms / row.busy_ms for row in rows) > HOST_PACED


def _path(runtime: str, cache: str, rows: Sequence[Observation], hidden: Outside) -> StepPath:
    outside = hidden if _is_host_paced(rows) else _own_outside(rows)
    attention_us, slope = _attention(rows)
    return StepPath(
        runtime=runtime,
        cache=cache,
        attention_us=attention_us,
        attention_us_per_million=slope,
        ctx=max(row.ctx for row in rows),
        gap_us=outside.gap_us,
        readback_ms=outside.readback_ms,
        new_length_ms=_middle(row.wall_ms - row.revisit_ms for row in rows) if cache == DYNAMIC else 0.0,
    )


def _attention(rows: Sequence[Observation]) -> tuple[float, float]:
    """Returns µs per layer that do not depend on the context, and per million of `attended`.

    From one context alone, all of it is taken to grow with the context.
    """
    from scipy.optimize import nnls

    if rows[0].configuration.is_one_kernel:
        return 0.0, 0.0
    us = numpy.array([row.times.attention / row.work.layers for row in rows])
    attended = numpy.array([row.work.attended for row in rows])
    if len({row.ctx for row in rows}) == 1:
        return 0.0, _mean(us / attended)
    (fixed, slope), _ = nnls(numpy.column_stack([1 / us, attended / us]), numpy.ones(len(us)))
    return float(fixed), float(slope)


def _remainders(observed: Sequence[Observation]) -> tuple[Remainder, ...]:
    by_configuration = _by(observed, lambda row: row.configuration)
    readback_ms = _outside(observed).readback_ms
    return tuple(_remainder(each, rows, readback_ms) for each, rows in sorted(by_configuration.items()))


def _remainder(configuration: Configuration, rows: Sequence[Observation], readback_ms: float) -> Remainder:
    is_host_paced = _is_host_paced(rows)
    issue_us = _mean((row.revisit_ms - readback_ms) / row.kernels * 1e3 for row in rows) if is_host_paced else 0.0
    return Remainder(
        **vars(configuration),
        kernels=_mean(row.kernels / row.work.layers for row in rows),
        others_us=0.0 if configuration.is_one_kernel else _mean(row.times.others / row.work.layers for row in rows),
        issue_us=issue_us,
        launch_us=(min(row.launch_us for row in rows), max(row.launch_us for row in rows)),
        ctx=max(row.ctx for row in rows),
        least_share=min(row.least_busy_share if is_host_paced else row.least_share for row in rows),
        gpus=tuple(sorted({row.gpu for row in rows})),
        parameters=tuple(sorted({layer_parameters(row.shape) for row in rows})),
    )


def _probe_correlation(observed: Sequence[Observation]) -> float | None:
    """Returns the correlation of launch probe and host's time per kernel over the sessions that the host paces, both as
    logarithms relative to the mean of their configuration; None if neither varies within any."""
    probes: list[float] = []
    times: list[float] = []
    for rows in _by(observed, lambda row: row.configuration).values():
        sessions = [(each.launch_us, each.revisit_ms / row.kernels) for row in rows for each in row.sessions]
        if _is_host_paced(rows) and all(len(set(values)) > 1 for values in zip(*sessions, strict=True)):
            probes += _centred(launch_us for launch_us, _ in sessions)
            times += _centred(time for _, time in sessions)
    return statistics.correlation(probes, times) if probes else None


def _centred(values: Iterable[float]) -> list[float]:
    logarithms = [math.log(value) for value in values]
    return [each - statistics.fmean(logarithms) for each in logarithms]


def _by(rows: Iterable[Observation], key: Callable[[Observation], Key]) -> Mapping[Key, list[Observation]]:
    found: dict[Key, list[Observation]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _middle(differences: Iterable[float]) -> float:
    """Returns the median of differences of clocks, at least 0: clocks of different passes may cross."""
    return max(statistics.median(differences), 0.0)


def _mean(values: Iterable[float]) -> float:
    """Returns the geometric mean: the least squares on relative errors of a single constant."""
    return math.exp(statistics.fmean(map(math.log, values)))
