"""The constants as tables."""

from dataclasses import replace

from analysis.prediction import constantstext
from analysis.prediction.constants import Constants
from tests.support.predictions import KNOWN, TRUTH


def test_every_constant_is_in_a_table():
    text = constantstext.constants_text(KNOWN)
    assert "**hopper** (compute capability 9.0), from 0 sessions of h100 (3350 GB/s), h200 (4800 GB/s)" in text
    assert "the head is read at 0.900 of the bandwidth" in text
    assert "| awq | marlin | 0.800 | 0.600 | 8.00 |" in text
    assert "| eager | dynamic | 10.00 | 0.600 | 16384 | 0.30 | 0.050 | 40.0 |" in text
    assert "| bf16 | cublas | eager | dynamic | 50 | 48.0 | 16.0 | 0.400 | h100, h200 |" in text
    assert "| device | 10 | 4 | 0.040 | 10.0 | -10 % to +11 % |" in text


def test_a_terminal_has_the_columns_that_fit():
    narrow, wide = (constantstext.constants_at_terminal(KNOWN, width) for width in (80, 120))
    assert max(map(len, narrow.splitlines())) <= 80
    assert max(map(len, wide.splitlines())) <= 120
    assert "up to ctx" in wide
    assert "up to ctx" not in narrow
    for text in (narrow, wide):
        assert text.startswith("hopper (compute capability 9.0), from 0 sessions of ")
        assert "quant  kernel  bandwidth share  µs per MB  least µs\n" in text
        assert text.endswith(f"{constantstext.MORE}\n")


def test_the_correlation_of_the_probe_is_stated_if_there_is_one():
    assert "launch probe" not in constantstext.constants_text(KNOWN)
    known = Constants((replace(TRUTH, probe_correlation=0.072),))
    assert "over the sessions that the host paces: 0.07." in constantstext.constants_text(known)
