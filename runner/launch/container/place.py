"""Choice of the place of a session: this interpreter, or a container of the image that its GPU and kernel need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner import registry
from runner.cell import catalogue
from runner.cell.vocabulary import AUTO, CONTAINER, HERE, MODERN
from runner.errors import NoContainer
from runner.launch.container import engine, image, user
from runner.launch.container.engine import Engine, Image, NoAnswer
from runner.launch.container.user import User
from runner.plan.sessionplan import Plan
from runner.record import codekey
from runner.record.flags import OTHER_TREE
from runner.record.sections.head import ContainerInfo


@dataclass(frozen=True)
class Container:
    """A container's engine and image, and the user that the worker runs as."""

    engine: Engine
    image: Image
    user: User


@dataclass(frozen=True)
class Place:
    """The place of a session. `container` is None for this interpreter; `notice` is a line for the user."""

    container: Container | None = None
    notice: str | None = None
    flags: tuple[str, ...] = ()

    @property
    def info(self) -> ContainerInfo | None:
        """Returns the record's section about the container, or None."""
        if self.container is None:
            return None
        chosen = self.container.image
        tree_key = chosen.labels.get(image.TREE_KEY, "")
        return ContainerInfo(self.container.engine.name, chosen.name, chosen.digest, tree_key)


def choose(where: str, stack: str, plan: Plan, spool: Path) -> Place:
    """Returns the place of a session.

    `where=here` is this interpreter. `where=container` requires a container, and so does a stack other than `modern`.
    `where=auto` uses a container if an engine has the image; otherwise a notice says why not. An engine that does not
    answer has no notice unless `stack=modern` asks for a container. `spool` is the record's folder.

    Raises NoContainer if a container is required and not available, BadValue if the named engine is not installed.
    """
    if where == HERE:
        return Place()
    engines, is_required = engine.installed(), where == CONTAINER or stack not in (AUTO, MODERN)
    if not engines and not is_required and stack == AUTO:
        return Place()
    try:
        return _contained(plan, stack, engines, spool)
    except NoContainer as error:
        if is_required:
            raise
        if stack == AUTO and isinstance(error, NoAnswer):
            return Place()
        doubt = "" if stack == AUTO else f", which may not be of stack={stack}"
        return Place(notice=f"measuring in this interpreter{doubt}: {error}")


def _contained(plan: Plan, stack: str, engines: tuple[Engine, ...], spool: Path) -> Place:
    if not engines:
        if engine.is_off():
            raise NoContainer(f"{engine.VARIABLE}={engine.NONE} switches containers off: unset it, or use where=here")
        raise NoContainer("a container needs Docker or Podman on PATH: install one, or use where=here")
    stacks = registry.kernel(plan.cell.kernel).DECLARATION.stacks
    name = image.name(catalogue.gpus().get(plan.cell.gpu), stack, stacks)
    chosen = _first_with(name, engines)
    image.check_labels(chosen.image)
    image.check_driver(chosen.image, plan.device.driver, stacks)
    user.check_writable(spool)
    return _with_tree_flag(chosen)


def _first_with(name: str, engines: tuple[Engine, ...]) -> Container:
    """Returns a container of the first engine that has the image.

    Raises NoContainer if no engine has it, with an engine's own error if none can be used.
    """
    unusable: list[NoContainer] = []
    for candidate in engines:
        try:
            if (present := candidate.image(name)) is not None:
                return Container(candidate, present, user.caller(candidate))
        except NoContainer as error:
            unusable.append(error)
    if len(unusable) == len(engines):
        raise type(unusable[0])(f"{unusable[0]}, or use where=here")
    raise NoContainer(f"there is no image {name}: {image.make_target(name)} builds it")


def _with_tree_flag(chosen: Container) -> Place:
    """Returns the place, flagged if the image was built from other code than this."""
    current, built = codekey.tree_key(), chosen.image.labels.get(image.TREE_KEY)
    if built == current:
        return Place(chosen)
    name = chosen.image.name
    notice = (
        f"warning: the image {name} was built from other code (tree_key {built or 'unknown'}, this is {current}): "
        f"the record is flagged {OTHER_TREE}; {image.make_target(name)} builds it again"
    )
    return Place(chosen, notice, (OTHER_TREE,))
