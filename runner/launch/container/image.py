"""The image that a cell's kernel needs, and checks of an image's labels and driver.

`images/` writes these labels into every image that it builds.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.cell.catalogue import Gpu
from runner.cell.vocabulary import AUTO, MODERN, PAPER
from runner.errors import NoContainer
from runner.launch.container.engine import Image

REPOSITORY = "decode-floor"
CPU = "cpu"  # its image has one stack, which its tag leaves out
TREE_KEY, MINIMUM_DRIVER = "decode-floor.tree-key", "decode-floor.min-driver"
ARCHITECTURE, STACK = "decode-floor.arch", "decode-floor.stack"


def name(entry: Gpu | None, stack: str, stacks: Sequence[str]) -> str:
    """Returns the image's name for a GPU and a stack; `auto` is the first of the kernel's `stacks`.

    `entry` is None for a GPU that the catalogue lacks. Raises NoContainer if the GPU has no image.
    """
    if entry is None or entry.image is None:
        reason = entry.image_reason if entry else "it is not in the catalogue"
        raise NoContainer(f"there is no image for this GPU ({reason}): use where=here")
    if entry.image == CPU:
        if stack not in (AUTO, MODERN):
            raise NoContainer(
                f"the image {REPOSITORY}:{CPU} is not of stack={stack}: use where=here in a Python that is"
            )
        return f"{REPOSITORY}:{CPU}"
    return f"{REPOSITORY}:{entry.image}-{stacks[0] if stack == AUTO else stack}"


def make_target(image: str) -> str:
    """Returns the command that builds an image."""
    architecture, _, stack = image.removeprefix(f"{REPOSITORY}:").partition("-")
    return f"make image-{architecture}" + (f" STACK={stack}" if stack not in ("", MODERN) else "")


def check_labels(image: Image) -> None:
    """Raises NoContainer if the image's labels differ from its name, because any image can be tagged with any name."""
    architecture, _, stack = image.name.removeprefix(f"{REPOSITORY}:").partition("-")
    expected = (architecture, stack or CPU)
    labelled = tuple(image.labels.get(label, "") for label in (ARCHITECTURE, STACK))
    if labelled != expected:
        raise NoContainer(
            f"the image {image.name} is labelled {labelled[0] or 'no architecture'} and {labelled[1] or 'no stack'}: "
            f"{make_target(image.name)} builds the one of that name"
        )


def check_driver(image: Image, driver: str | None, stacks: Sequence[str]) -> None:
    """Raises NoContainer if the host's NVIDIA driver is older than the image's CUDA requires.

    `stacks` are those that have the kernel.
    """
    needed = image.labels.get(MINIMUM_DRIVER, "")
    major = (driver or "").split(".")[0]
    if needed.isdecimal() and major.isdecimal() and int(major) < int(needed):
        paper_image = f"{REPOSITORY}:{image.labels[ARCHITECTURE]}-{PAPER}"
        alternative = f", or use an image of an older CUDA ({make_target(paper_image)}, then stack={PAPER})"
        raise NoContainer(
            f"the image {image.name} needs NVIDIA driver {needed} or newer, this host has {driver}: update it"
            f"{alternative if PAPER in stacks and image.name != paper_image else ''}"
        )
