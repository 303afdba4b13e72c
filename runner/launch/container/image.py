"""Which image a cell's kernel runs in, and whether one that is there will do.

The labels are what `images/` writes into every image it builds.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.cell.catalogue import Gpu
from runner.cell.vocabulary import AUTO, MODERN, PAPER
from runner.errors import NoContainer
from runner.launch.container.engine import Image

REPOSITORY = "decode-floor"
CPU = "cpu"  # one stack only, which goes without saying
TREE_KEY, MINIMUM_DRIVER = "decode-floor.tree-key", "decode-floor.min-driver"
ARCHITECTURE, STACK = "decode-floor.arch", "decode-floor.stack"


def name(entry: Gpu | None, stack: str, stacks: Sequence[str]) -> str:
    """The image for a GPU of the catalogue (None is one that it lacks) and a stack; `auto` is the first of those that
    the kernel lives in. Raises NoContainer where a GPU has none."""
    if entry is None or entry.image is None:
        why = entry.image_reason if entry else "it is not in the catalogue"
        raise NoContainer(f"there is no image for this GPU ({why})")
    if entry.image == CPU:
        if stack not in (AUTO, MODERN):
            raise NoContainer(
                f"the image {REPOSITORY}:{CPU} is not of stack={stack}: use where=here in a Python that is"
            )
        return f"{REPOSITORY}:{CPU}"
    return f"{REPOSITORY}:{entry.image}-{stacks[0] if stack == AUTO else stack}"


def make_target(image: str) -> str:
    """The command that builds an image."""
    architecture, _, stack = image.removeprefix(f"{REPOSITORY}:").partition("-")
    return f"make image-{architecture}" + (f" STACK={stack}" if stack not in ("", MODERN) else "")


def check_labels(image: Image) -> None:
    """Raises NoContainer for an image that says itself to be another than its name does: a tag can be put on any."""
    architecture, _, stack = image.name.removeprefix(f"{REPOSITORY}:").partition("-")
    named = (architecture, stack or CPU)
    own = tuple(image.labels.get(label, "") for label in (ARCHITECTURE, STACK))
    if own != named:
        raise NoContainer(
            f"the image {image.name} is labelled as of {own[0] or 'no architecture'} and {own[1] or 'no stack'}: "
            f"{make_target(image.name)} builds it"
        )


def check_driver(image: Image, driver: str | None, stacks: Sequence[str]) -> None:
    """Raises NoContainer where the host's NVIDIA driver is older than what the image's CUDA needs; `stacks` are those
    that the kernel lives in."""
    needed = image.labels.get(MINIMUM_DRIVER, "")
    major = (driver or "").split(".")[0]
    if needed.isdecimal() and major.isdecimal() and int(major) < int(needed):
        older = f"{REPOSITORY}:{image.labels[ARCHITECTURE]}-{PAPER}"
        other = f", or use an image of an older CUDA ({make_target(older)}, then stack={PAPER})"
        raise NoContainer(
            f"the image {image.name} needs NVIDIA driver {needed} or newer, this host has {driver}: update it"
            f"{other if PAPER in stacks and image.name != older else ''}"
        )
