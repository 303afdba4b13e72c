"""Options of the commands that run sessions."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from runner import registry
from runner.cell.vocabulary import AUTO, DTYPES, PLACES, PROTOCOLS, STACKS
from runner.cli import program
from runner.commands import options
from tests.support.processes import Main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cell", "--sessions", "x"), "sessions=x: must be a whole number of at least 1"),
        (("cell", "--sessions", ""), "sessions='' is empty: give it a value, or leave it out"),
        (("ab", "--sessions", "0"), "sessions=0: must be at least 1"),
        (("ab", "--extension", "-1"), "extension=-1: must be at least 0"),
    ],
)
def test_a_count_is_checked_like_the_numbers_of_a_request(main: Main, arguments: tuple[str, ...], said: str) -> None:
    assert main(*arguments)[::2] == (11, f"error: {said}\n")


def test_every_field_of_the_request_is_an_option_that_is_auto() -> None:
    text = " ".join(CliRunner().invoke(program, ["cell", "--help"]).output.split())
    for name in options.REQUEST_HELP:
        assert re.search(rf"--{name.replace('_', '-')} TEXT", text), name
    assert text.count("[default: auto]") == len(options.REQUEST_HELP)


def test_the_help_lists_the_values_that_a_field_takes() -> None:
    for declared in registry.runtime_declarations():
        assert declared.name in options.REQUEST_HELP["runtime"]
        assert all(cache in options.REQUEST_HELP["cache"] for cache in declared.caches)
        assert all(attention in options.REQUEST_HELP["attention"] for attention in declared.attentions)
        for name, values in declared.options.items():
            assert f"{name}:{'|'.join(values)}" in options.REQUEST_HELP["options"]
    words = {"quant": registry.format_names(), "kernel": registry.kernel_names(), "dtype": DTYPES, "stack": STACKS}
    for field, allowed in {**words, "protocol": PROTOCOLS, "where": (*PLACES, AUTO)}.items():
        assert all(word in options.REQUEST_HELP[field] for word in allowed), field


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (("--energy",), "on"),
        (("--energy", "--gpu", "cpu"), "on"),
        (("--energy", "off"), "off"),
        (("--energy=auto",), "auto"),
        ((), "auto"),
    ],
)
def test_energy_without_a_value_is_on(arguments: tuple[str, ...], value: str) -> None:
    found: list[str] = []

    @click.command()
    @options.request_options
    def command(**request: str) -> None:
        found.append(request["energy"])

    result = CliRunner().invoke(command, [*arguments])
    assert (result.exit_code, found) == (0, [value])
