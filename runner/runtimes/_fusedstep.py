"""The step of the runtime `fused`: one launch of the persistent kernel, over the tensors of the eager step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runner.fused import compiled, geometry, tensors
from runner.fused.compiled import Compiled
from runner.fused.geometry import Geometry
from runner.fused.launch import Launch, card_of
from runner.runtimes import eager

if TYPE_CHECKING:
    import torch

    from runner.cell.shape import ModelShape

CompileStep = Callable[[Geometry, str], Compiled]
"""Returns the kernel for a layout and an architecture."""


class FusedStep(eager.StepOverEager):
    """Step (`runner.declarations.Step`) that launches one kernel. It shares the eager step's cache and buffers."""

    runtime = "fused"

    def __init__(
        self, step: eager.EagerStep, shape: ModelShape, compile_step: CompileStep = compiled.compile_step
    ) -> None:
        import torch

        super().__init__(step)
        device = step.position.device
        layers = tensors.of_layers(step.model, step.cache.rows)
        rows = layers[0]["keys"].shape[2]
        layout = geometry.choose(shape, card_of(device))
        self.compiled = compile_step(layout, architecture(device))
        self.logits = torch.zeros(shape.vocab, dtype=torch.float32, device=device)
        state = {
            "logits": self.logits,
            "sequence": step.tokens.sequence,
            "forced": step.tokens.forced,
            "position": step.position,
            "chosen": step.chosen,
        }
        given = {**tensors.of_model(step.model, rows), **state}
        self.launch = Launch(self.compiled, layout, layers, given, rows, shape.rms_norm_eps)

    def __call__(self) -> torch.Tensor:
        self.launch()
        return self._chosen

    def stuck(self) -> str | None:
        return self.launch.stuck()


def architecture(device: torch.device) -> str:
    """Returns the compiler's name of the device's architecture; from 9.0 on with the features of that one alone."""
    import torch

    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}{'a' if major >= 9 else ''}"
