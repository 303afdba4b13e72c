"""A module is found or not, also below a package that does not exist."""

import sys

import pytest

from runner.findable import is_findable


@pytest.mark.parametrize(
    ("module", "found"),
    [("yaml", True), ("os.path", True), ("no_such_package", False), ("no_such_package.part.of_it", False)],
)
def test_a_module_is_found_or_not(module: str, found: bool) -> None:
    assert is_findable(module) == found


def test_the_module_itself_is_not_imported() -> None:
    assert is_findable("wsgiref.validate")
    assert "wsgiref.validate" not in sys.modules
