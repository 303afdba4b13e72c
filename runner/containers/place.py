"""Where a session is measured: in this interpreter, or in a container of the image that its GPU and kernel need."""

from __future__ import annotations

from dataclasses import dataclass

from runner import catalogue, registry
from runner.containers import engine, image
from runner.containers.engine import Engine, Image
from runner.errors import NoContainer
from runner.resolve import Plan
from runner.vocabulary import AUTO, CONTAINER, HERE, MODERN
from runner.worker import codekey
from runner.worker.job import ContainerInfo

OTHER_TREE = "other-tree"


@dataclass(frozen=True)
class Place:
    """`engine` and `image` are None for this interpreter; `told` is what the person should know of the choice."""

    engine: Engine | None = None
    image: Image | None = None
    told: str | None = None
    flags: tuple[str, ...] = ()

    @property
    def info(self) -> ContainerInfo | None:
        """What the record says of it."""
        if self.engine is None or self.image is None:
            return None
        tree_key = self.image.labels.get(image.TREE_KEY, "")
        return ContainerInfo(self.engine.name, self.image.name, self.image.digest, tree_key)


def choose(where: str, stack: str, plan: Plan) -> Place:
    """`here` is this interpreter; `container` insists; `auto` is a container where an engine has the image. Another
    stack than the usual insists too, unless `here` says that this interpreter is of it; the usual one does not, but
    where it is asked for by name and no container is had, that is told.

    Raises NoContainer where one is insisted on and cannot be had, BadValue for an engine that is named and not there.
    """
    if where == HERE:
        return Place()
    engines, insists = engine.found(), where == CONTAINER or stack not in (AUTO, MODERN)
    if not engines and not insists and stack == AUTO:
        return Place()
    try:
        return _contained(plan, stack, engines)
    except NoContainer as error:
        if insists:
            raise
        unsure = "" if stack == AUTO else f", which need not be of stack={stack}"
        return Place(told=f"measuring in this interpreter{unsure}: {error}")


def _contained(plan: Plan, stack: str, engines: tuple[Engine, ...]) -> Place:
    if not engines:
        if engine.is_off():
            raise NoContainer(f"{engine.VARIABLE}={engine.NONE} switches containers off: unset it, or use where=here")
        raise NoContainer("a container needs Docker or Podman on PATH: install one, or use where=here")
    stacks = registry.kernel(plan.cell.kernel).DECLARATION.stacks
    wanted = image.name(catalogue.gpus().get(plan.cell.gpu), stack, stacks)
    chosen, found = _first_with(wanted, engines)
    image.check_labels(found)
    image.check_driver(found, plan.device.driver)
    return _warned(Place(chosen, found), found)


def _first_with(wanted: str, engines: tuple[Engine, ...]) -> tuple[Engine, Image]:
    """Raises NoContainer where no engine has it, with the word of one that does not answer where none does."""
    silent: list[NoContainer] = []
    for each in engines:
        try:
            found = each.image(wanted)
        except NoContainer as error:
            silent.append(error)
            continue
        if found is not None:
            return each, found
    if len(silent) == len(engines):
        raise NoContainer(f"{silent[0]}, or use where=here")
    raise NoContainer(f"there is no image {wanted}: {image.make_target(wanted)} builds it")


def _warned(place: Place, found: Image) -> Place:
    """An image holds the code it was built from, which need not be this."""
    own, built = codekey.tree_key(), found.labels.get(image.TREE_KEY)
    if built == own:
        return place
    told = (
        f"warning: the image {found.name} was built from other code (tree_key {built or 'unknown'}, this is {own}): "
        f"the record is flagged {OTHER_TREE}; {image.make_target(found.name)} builds it anew"
    )
    return Place(place.engine, place.image, told, (OTHER_TREE,))
