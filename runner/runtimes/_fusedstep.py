"""The step of the runtime `fused`: one launch of the persistent kernel, over the tensors of the eager step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import TYPE_CHECKING

from runner.errors import BadValue
from runner.fused import compiled, geometry, instruments, stamps, tensors
from runner.fused.compiled import Compiled
from runner.fused.geometry import Geometry
from runner.fused.launch import Launch, card_of
from runner.record.sections.passes import Phases
from runner.runtimes import _compilecache, eager

if TYPE_CHECKING:
    import torch

    from runner.cell.shape import ModelShape

UNCOUNTED, COUNTED = 2, 8
"""Steps of an instrumented build before those whose stamps count, and these."""
CompileStep = Callable[[Geometry, str], Compiled]
"""Returns the kernel for a layout and an architecture."""


def _cubins() -> MutableMapping[bytes, bytes] | None:
    """Returns the user's cache of compiled kernels; None if there is no folder that can be written."""
    from cuda.core.utils import FileStreamProgramCache

    try:
        cache: MutableMapping[bytes, bytes] = FileStreamProgramCache(
            _compilecache.cache_home() / _compilecache.PROJECT / "cubins"
        )
        return cache
    except (BadValue, OSError):
        return None


def compile_cached(layout: Geometry, arch: str) -> Compiled:
    """Returns the kernel from the user's cache; compiles it if it is not there."""
    return compiled.compile_step(layout, arch, cache=_cubins())


def compile_stamped(layout: Geometry, arch: str) -> Compiled:
    """Returns the build with clock stamps in the same way."""
    return compiled.compile_step(layout, arch, instruments.STAMPS, cache=_cubins())


class FusedStep(eager.StepOverEager):
    """Step (`runner.declarations.Step`) that launches one kernel. It shares the eager step's cache and buffers."""

    runtime = "fused"

    def __init__(self, step: eager.EagerStep, shape: ModelShape, compile_step: CompileStep = compile_cached) -> None:
        import torch

        super().__init__(step)
        device = step.position.device
        layers = tensors.of_layers(step.model, step.cache.rows)
        rows = layers[0]["keys"].shape[2]
        self.layout = geometry.choose(shape, card_of(device))
        self.compiled = compile_step(self.layout, architecture(device))
        self.logits = torch.zeros(shape.vocab, dtype=torch.float32, device=device)
        state = {
            "logits": self.logits,
            "sequence": step.tokens.sequence,
            "forced": step.tokens.forced,
            "position": step.position,
            "chosen": step.chosen,
        }
        given = {**tensors.of_model(step.model, rows), **state}
        self._launch_of = partial(
            Launch, geometry=self.layout, layers=layers, tensors=given, cache_rows=rows, epsilon=shape.rms_norm_eps
        )
        self.launch = self._launch_of(self.compiled)
        self._stamped: Launch | None = None

    @property
    def settings(self) -> Mapping[str, str]:
        """Returns how the kernel was compiled. Its layout is among the options."""
        return self.compiled.facts()

    def __call__(self) -> torch.Tensor:
        self.launch()
        return self._chosen

    def stuck(self) -> str | None:
        return self.launch.stuck() or (None if self._stamped is None else self._stamped.stuck())

    def phases(self) -> Phases:
        self._stamped = self._launch_of(compile_stamped(self.layout, architecture(self.logits.device)))
        found = []
        for _ in range(UNCOUNTED + COUNTED):
            self._stamped()
            found.append(stamps.clocks_by_phase(instruments.read_stamps(self._stamped), self.layout))
        return Phases(**{name: tuple(step[name] for step in found[UNCOUNTED:]) for name in stamps.PHASES})


def architecture(device: torch.device) -> str:
    """Returns the compiler's name of the device's architecture; from 9.0 on with the features of that one alone."""
    import torch

    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}{'a' if major >= 9 else ''}"
