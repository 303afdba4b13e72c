"""Where a session is measured: in this interpreter, or in a container of the image that its GPU and kernel need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner import registry
from runner.cell import catalogue
from runner.cell.vocabulary import AUTO, CONTAINER, HERE, MODERN
from runner.errors import NoContainer
from runner.launch.container import engine, image, user
from runner.launch.container.engine import Engine, Image
from runner.launch.container.user import User
from runner.plan.resolve import Plan
from runner.record import codekey
from runner.record.flags import OTHER_TREE
from runner.record.sections.head import ContainerInfo


@dataclass(frozen=True)
class Container:
    """What one is made of, and whom the worker runs as in it."""

    engine: Engine
    image: Image
    user: User


@dataclass(frozen=True)
class Place:
    """`container` is None for this interpreter; `told` is what the person should know of the choice."""

    container: Container | None = None
    told: str | None = None
    flags: tuple[str, ...] = ()

    @property
    def info(self) -> ContainerInfo | None:
        """What the record says of it."""
        if self.container is None:
            return None
        chosen = self.container.image
        tree_key = chosen.labels.get(image.TREE_KEY, "")
        return ContainerInfo(self.container.engine.name, chosen.name, chosen.digest, tree_key)


def choose(where: str, stack: str, plan: Plan, spool: Path) -> Place:
    """`here` is this interpreter; `container` insists; `auto` is a container where an engine has the image. Another
    stack than the usual insists too, unless `here` says that this interpreter is of it; the usual one does not, but
    where it is asked for by name and no container is had, that is told. `spool` is where the record is to lie.

    Raises NoContainer where one is insisted on and cannot be had, BadValue for an engine that is named and not there.
    """
    if where == HERE:
        return Place()
    engines, insists = engine.found(), where == CONTAINER or stack not in (AUTO, MODERN)
    if not engines and not insists and stack == AUTO:
        return Place()
    try:
        return _contained(plan, stack, engines, spool)
    except NoContainer as error:
        if insists:
            raise
        unsure = "" if stack == AUTO else f", which need not be of stack={stack}"
        return Place(told=f"measuring in this interpreter{unsure}: {error}")


def _contained(plan: Plan, stack: str, engines: tuple[Engine, ...], spool: Path) -> Place:
    if not engines:
        if engine.is_off():
            raise NoContainer(f"{engine.VARIABLE}={engine.NONE} switches containers off: unset it, or use where=here")
        raise NoContainer("a container needs Docker or Podman on PATH: install one, or use where=here")
    stacks = registry.kernel(plan.cell.kernel).DECLARATION.stacks
    wanted = image.name(catalogue.gpus().get(plan.cell.gpu), stack, stacks)
    chosen = _first_with(wanted, engines)
    image.check_labels(chosen.image)
    image.check_driver(chosen.image, plan.device.driver, stacks)
    user.check_writable(spool)
    return _warned(chosen)


def _first_with(wanted: str, engines: tuple[Engine, ...]) -> Container:
    """Raises NoContainer where no engine has it, with the word of one that cannot be used where none can."""
    unusable: list[NoContainer] = []
    for each in engines:
        try:
            if (found := each.image(wanted)) is not None:
                return Container(each, found, user.caller(each))
        except NoContainer as error:
            unusable.append(error)
    if len(unusable) == len(engines):
        raise NoContainer(f"{unusable[0]}, or use where=here")
    raise NoContainer(f"there is no image {wanted}: {image.make_target(wanted)} builds it")


def _warned(chosen: Container) -> Place:
    """An image holds the code it was built from, which need not be this."""
    own, built = codekey.tree_key(), chosen.image.labels.get(image.TREE_KEY)
    if built == own:
        return Place(chosen)
    name = chosen.image.name
    told = (
        f"warning: the image {name} was built from other code (tree_key {built or 'unknown'}, this is {own}): "
        f"the record is flagged {OTHER_TREE}; {image.make_target(name)} builds it anew"
    )
    return Place(chosen, told, (OTHER_TREE,))
