"""The constants of the model of a step: data, committed in constants.yaml with the rows that they were fitted on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from analysis.percent import percent
from analysis.prediction.workload import Configuration, layer_parameters
from analysis.row import Row
from runner.cell.jsonform import from_json, to_json
from runner.cell.shape import ModelShape
from runner.files import yamlfile

PATH = Path(__file__).with_name("constants.yaml")
SIZE_MARGIN = 2.0
"""A step is predicted for models whose layers have up to this times the parameters of a fitted one, and down to those
divided by it."""
DIGITS = 5
"""Significant digits of the constants in the file."""
HEADER = (
    "# Written by `python -m analysis predict --fit`; docs/prediction.md explains each constant. Times are in µs or ms "
    "as named, MB are 1e6 bytes.\n"
)


@dataclass(frozen=True)
class Products(Row):
    """The products by the matrices of the layers, of one format and kernel."""

    quant: str
    kernel: str
    share: float
    """share of the datasheet's bandwidth at which matrices are read if memory limits the product"""
    us_per_mb: float
    """µs per MB of a matrix if the kernel limits the product; 0 for unpacked weights"""
    fixed_us: float
    """least µs of a product"""


@dataclass(frozen=True)
class StepPath(Row):
    """Constants of a runtime with a kind of cache."""

    runtime: str
    cache: str
    attention_us: float
    """µs per layer of attention and the copies of its cache, whatever the context"""
    attention_us_per_million: float
    """µs per layer and million of positions times the width of the queries"""
    ctx: int
    """largest context that these two were fitted on"""
    gap_us: float
    """µs between two kernels"""
    readback_ms: float
    """ms of a step outside its kernels and gaps: the read-back, and what the runtime does before it launches"""
    new_length_ms: float
    """ms that a context length costs that is new to the process; 0 without a growing cache"""


@dataclass(frozen=True)
class Remainder(Row):
    """Constants of one configuration alone."""

    quant: str
    kernel: str
    runtime: str
    cache: str
    kernels: float
    """kernels per layer, all of a step divided by the layers"""
    others_us: float
    """µs per layer of all kernels but products, head and attention: their number times the fixed time of each"""
    issue_us: float
    """µs that the host takes to launch a kernel; 0 if it launches the step as a whole"""
    launch_us: tuple[float, float]
    """range of the launch probe on the hosts of these rows, in µs"""
    ctx: int
    """largest context of these rows"""
    least_share: float
    """smallest share of the datasheet's bandwidth that a session shows"""
    gpus: tuple[str, ...]
    parameters: tuple[int, ...]
    """numbers of parameters of the layers of the models of these rows"""

    @property
    def configuration(self) -> Configuration:
        return Configuration(self.quant, self.kernel, self.runtime, self.cache)

    def covers(self, shape: ModelShape) -> bool:
        """Returns whether a model is so much like those of these rows that its step is predicted."""
        size = layer_parameters(shape)
        return any(fitted / SIZE_MARGIN <= size <= fitted * SIZE_MARGIN for fitted in self.parameters)

    @property
    def measured_on(self) -> str:
        return ", ".join(self.gpus)


@dataclass(frozen=True)
class Spread(Row):
    """The logarithm of measured over predicted of rows held out of the fit, by what limits the step."""

    limit: str
    rows: int
    folds: int
    rms: float
    freedom: float
    """degrees of freedom of `rms`"""
    half_width: float
    """half the width of a range, as a logarithm"""

    @property
    def range(self) -> str:
        """Returns the ends of a range relative to the prediction."""
        return f"{percent(math.exp(-self.half_width) - 1)} to {percent(math.exp(self.half_width) - 1, '+.0%')}"


@dataclass(frozen=True)
class FittedRow:
    """A row that the constants were fitted on."""

    row: str
    measured_ms: float
    fitted_ms: float
    flags: tuple[str, ...]
    sessions: tuple[str, ...]


@dataclass(frozen=True)
class Architecture:
    """The constants of an architecture."""

    name: str
    capability: str
    gpus: dict[str, float]
    """measured GPU → bandwidth of its datasheet in GB/s"""
    head_share: float
    """share of the datasheet's bandwidth at which the head is read"""
    products: tuple[Products, ...]
    paths: tuple[StepPath, ...]
    remainders: tuple[Remainder, ...]
    probe_correlation: float | None
    """correlation of the launch probe with the host's time per kernel, over sessions; None if it cannot be computed"""
    spreads: tuple[Spread, ...] = ()
    rows: tuple[FittedRow, ...] = ()

    def remainder(self, configuration: Configuration) -> Remainder | None:
        """Returns the constants of a configuration alone, None if it was not fitted."""
        return next((each for each in self.remainders if each.configuration == configuration), None)

    def covering(self, configuration: Configuration, shape: ModelShape) -> Remainder | None:
        """Returns the constants of a configuration alone if it was fitted on models like this one, else None."""
        own = self.remainder(configuration)
        return own if own is not None and own.covers(shape) else None

    def products_of(self, configuration: Configuration) -> Products:
        names = (configuration.quant, configuration.kernel)
        return next(each for each in self.products if (each.quant, each.kernel) == names)

    def path_of(self, configuration: Configuration) -> StepPath:
        names = (configuration.runtime, configuration.cache)
        return next(each for each in self.paths if (each.runtime, each.cache) == names)

    def spread(self, limit: str) -> Spread | None:
        return next((each for each in self.spreads if each.limit == limit), None)


@dataclass(frozen=True)
class Constants:
    """The constants of all architectures."""

    architectures: tuple[Architecture, ...]

    @property
    def configurations(self) -> list[Configuration]:
        """Returns the configurations that an architecture has constants of."""
        return sorted({each.configuration for known in self.architectures for each in known.remainders})

    def covers(self, configuration: Configuration, shape: ModelShape) -> bool:
        """Returns whether an architecture has constants of a configuration for models like this one."""
        return any(known.covering(configuration, shape) is not None for known in self.architectures)

    def of(self, capability: str | None) -> Architecture | None:
        """Returns the constants of a compute capability, None if no card of it was measured."""
        return next((each for each in self.architectures if each.capability == capability), None)


def read(path: Path = PATH) -> Constants:
    """Returns the constants in a file."""
    return from_json(Constants, yamlfile.read(path))


@cache
def committed() -> Constants:
    """Returns the committed constants."""
    return read()


def text(constants: Constants) -> str:
    """Returns the constants as the text of their file."""
    return HEADER + yaml.safe_dump(_rounded(to_json(constants)), sort_keys=False, width=120, default_flow_style=None)


def _rounded(value: Any) -> Any:
    """Returns a JSON value with its fractions rounded to `DIGITS` digits."""
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
