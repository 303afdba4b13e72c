"""Predictions from the committed constants: every configuration, memory, and one line for what cannot be predicted."""

import pytest

from analysis.prediction import constants, predicted
from runner.cell import catalogue
from runner.errors import BadValue, NotAvailable, UnknownName

QWEN = catalogue.models()["qwen2.5-7b"].shape


def test_every_configuration_of_the_constants_is_predicted_on_every_gpu():
    rows = predicted.predictions(["l4", "h100"], "qwen2.5-7b", 2048)
    covered = constants.committed().configurations
    assert len(rows) == 2 * len(covered)
    assert [row.gpu for row in rows] == ["l4"] * len(covered) + ["h100"] * len(covered)
    assert {(row.quant, row.kernel, row.runtime, row.cache) for row in rows} == {
        tuple(vars(each).values()) for each in covered
    }
    assert all(row.floor_ms <= row.low_ms <= row.step_ms <= row.high_ms for row in rows)


def test_no_record_is_read(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_):
        raise AssertionError("a record is read")

    monkeypatch.setattr("analysis.sources.records.read_folder", refuse)
    assert predicted.predictions(["h200"], "mistral-7b", 4096)


def test_a_card_of_another_architecture_is_untested():
    for row in predicted.predictions(["l4"], "qwen2.5-7b", 2048):
        assert row.basis == "untested"
        assert row.low_ms == row.floor_ms
    for row in predicted.predictions(["h200"], "qwen2.5-7b", 2048):
        assert row.basis == "hopper: h100, h200"


def test_a_session_that_does_not_fit_says_so():
    # Llama-3.1-8B in 16 bits at 32768 needs 16 GB of weights and 4 GB of cache beside verification; the L4 has 24
    rows = predicted.predictions(["l4"], "llama-3.1-8b", 65536)
    large = [row for row in rows if row.quant == "bf16"]
    assert large
    for row in large:
        assert row.fits is False
        assert row.notes[0] == "does not fit into 24 GB"
        assert row.needed_bytes > 24e9
    small = predicted.predictions(["h200"], "llama-3.1-8b", 2048)
    assert {row.fits for row in small} == {True}
    assert all(row.notes == row.caveats for row in small)


def test_a_board_shares_its_memory_and_says_so():
    assert {
        predicted.SHARED_MEMORY in each.notes for each in predicted.predictions(["jetson-orin"], "qwen2.5-7b", 2048)
    } == {True}
    assert {predicted.SHARED_MEMORY in each.notes for each in predicted.predictions(["l4"], "qwen2.5-7b", 2048)} == {
        False
    }


def test_a_card_of_unknown_memory_fits_as_far_as_is_known(monkeypatch: pytest.MonkeyPatch):
    gpu = catalogue.gpus()["l4"]
    unknown = catalogue.Gpu(**{**vars(gpu), "memory_gb": catalogue.Figure(None, None, "not read")})
    monkeypatch.setattr(catalogue, "gpus", lambda: {"l4": unknown})
    (first, *_) = predicted.predictions(["l4"], "qwen2.5-7b", 2048)
    assert (first.fits, first.memory_bytes) == (None, None)
    assert "fit" not in " ".join(first.notes)


def test_a_configuration_is_predicted_for_models_of_the_size_of_its_rows():
    """The fused step alone was measured with a model of half a billion parameters."""
    rows = predicted.predictions(["h200"], "qwen2.5-0.5b", 2048)
    assert {row.kernel for row in rows} == {"fused"}
    assert len({row.kernel for row in predicted.predictions(["h200"], "qwen2.5-7b", 2048)}) > 1


def test_a_kernel_that_needs_a_newer_card_is_left_out():
    gpu = catalogue.Gpu(**{**vars(catalogue.gpus()["l4"]), "compute_capability": "7.5"})
    names = {each.kernel for each in predicted.configurations(constants.committed(), gpu, QWEN)}
    assert "cublas" in names
    assert not {"marlin", "fused"} & names


@pytest.mark.parametrize(
    ("gpu", "model", "ctx", "error", "text"),
    [
        ("l5", "qwen2.5-7b", 2048, UnknownName, r"unknown gpu 'l5'.*allowed: h100, "),
        ("l4", "qwen", 2048, UnknownName, r"unknown model 'qwen'; did you mean qwen2.5-"),
        ("cpu", "qwen2.5-7b", 2048, BadValue, r"gpu=cpu has no bandwidth in the catalogue \(differs by machine"),
        ("l4", "qwen2.5-7b", -1, BadValue, r"ctx=-1: choose a context of 1 to 32733 positions for qwen2.5-7b"),
        ("l4", "qwen2.5-7b", 32734, BadValue, r"ctx=32734: choose a context of 1 to 32733"),
        ("l4", "tiny", 2048, NotAvailable, r"model=tiny has .* billion parameters in its layers"),
    ],
)
def test_what_cannot_be_predicted_is_refused_in_one_line(gpu, model, ctx, error, text):
    with pytest.raises(error, match=text) as caught:
        predicted.predictions([gpu], model, ctx)
    assert "\n" not in str(caught.value)


def test_the_step_in_tokens_and_the_range_in_words():
    row = predicted.predictions(["h100"], "qwen2.5-7b", 2048)[0]
    assert row.tokens_per_s == 1000 / row.step_ms
    assert row.range == f"{row.low_ms:.2f} to {row.high_ms:.2f}"
    assert row.to_json()["gpu"] == "h100"
