"""Questions that the first screen of a report answers. A table declares those that its rows can answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from analysis.row import Row

R_contra = TypeVar("R_contra", bound=Row, contravariant=True)


@dataclass(frozen=True)
class Line:
    """The answer for one GPU.

    `text` is the answer in words, `number` its number with the unit, empty if there is none. `row` is the row that has
    the number. `caveat` says why the number is suspect, empty if it is not.
    """

    text: str
    number: str = ""
    row: Row | None = None
    caveat: str = ""

    @property
    def words(self) -> str:
        """Returns the whole answer as text."""
        answer = f"{self.number}: {self.text}." if self.number else f"{self.text}."
        return f"{answer} {self.caveat}." if self.caveat else answer


@dataclass(frozen=True)
class Fallback:
    """An answer from the rows of the table named `table`: the line of a GPU, None if they have no answer either."""

    table: str
    answer: Callable[[Sequence[Any], str], Line | None]


@dataclass(frozen=True)
class Question(Generic[R_contra]):
    """A question. `answer` makes the line of a GPU from all rows of the table; `scope` limits what counts.
    `fallback` counts where that line has no row."""

    text: str
    answer: Callable[[Sequence[R_contra], str], Line]
    scope: str = ""
    fallback: Fallback | None = None


def flagged(flags: Sequence[str]) -> str:
    """Returns a caveat that names the flags, empty if there are none."""
    return f"Flags: {', '.join(flags)}" if flags else ""
