"""The persistent decode kernel: every product of a step, and all that lies between them, in one launch."""

from __future__ import annotations

from runner.declarations import KernelDeclaration
from runner.installation import Installation

DECLARATION = KernelDeclaration(
    name="fused",
    quants=("bf16",),
    dtypes=("bf16",),
    devices=("cuda",),
    signatures=("decode_step",),
    deterministic=True,
    capturable=False,  # its launch is cooperative
    package="cuda-core",  # compiles it, by torch's NVRTC
    module="cuda.core",
    remedy="pip install cuda-core==1.2.2",
    capability=(8, 0),
    tried=("9.0",),
    runtimes=("fused",),
    installation=Installation(wheels=("cuda-core==1.2.2",)),
)
