"""The committed constants: what their file holds, and that a new fit gives them again."""

import pytest

from analysis.prediction import constants, residuals
from runner.cell.jsonform import to_json
from tests.support.predictions import EAGER, FUSED, KNOWN, TRUTH, committed


def test_constants_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "constants.yaml"
    path.write_text(constants.text(KNOWN))
    assert constants.read(path) == KNOWN


def test_the_file_has_five_digits():
    assert constants.DIGITS == 5
    assert "head_share: 0.12346" in constants.text(constants.Constants((_with_head(0.123456789),)))


def _with_head(share):
    return constants.Architecture(**{**vars(TRUTH), "head_share": share})


def test_an_architecture_finds_what_belongs_to_a_configuration():
    assert TRUTH.products_of(FUSED).share == 0.85
    assert TRUTH.path_of(EAGER).new_length_ms == 40.0
    remainder = TRUTH.remainder(EAGER)
    assert remainder is not None
    assert remainder.configuration == EAGER
    assert TRUTH.spread("device").half_width == 0.1
    assert TRUTH.spread("neither") is None
    assert KNOWN.of("9.0") == TRUTH
    assert KNOWN.of("8.9") is None


def test_a_range_in_words():
    # exp(-0.1) - 1 and exp(0.1) - 1
    assert TRUTH.spread("device").range == "-10 % to +11 %"


def leaves(value, place=""):
    """Yields place and value of every scalar of a JSON value."""
    if isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, f"{place}.{name}")
    else:
        yield place, value


@pytest.mark.slow
def test_the_committed_constants_are_those_of_the_committed_records():
    fitted = dict(leaves(to_json(residuals.constants(committed().rows))))
    known = dict(leaves(to_json(constants.read())))
    assert known.keys() == fitted.keys(), "run: python -m analysis predict --fit"
    for place, value in known.items():
        expected = pytest.approx(fitted[place], rel=1e-3, abs=1e-6) if isinstance(value, float) else fitted[place]
        assert value == expected, f"{place}: run python -m analysis predict --fit"


def test_each_committed_architecture_names_its_sessions():
    for known in constants.committed().architectures:
        assert known.rows
        assert all(row.sessions for row in known.rows)
        assert to_json(known)["rows"][0]["sessions"]
