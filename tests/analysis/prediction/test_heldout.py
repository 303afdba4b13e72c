"""The check: what is held out, what the rest cannot cover, and the paper's figures."""

from pathlib import Path

import pytest

from analysis import paper
from analysis.prediction import heldout
from runner.errors import BadRecord
from tests.support.predictions import MARLIN, committed, observation, rows

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def found():
    return heldout.check(rows())


@pytest.fixture(scope="module")
def honest():
    return heldout.check(committed().rows)


def of_kind(check, kind):
    return [row for row in check.rows if row.kind == kind]


@pytest.mark.medium
def test_rows_that_the_model_made_are_predicted_exactly(found):
    tested = [row for row in found.rows if row.is_tested]
    assert max(abs(row.error) for row in tested) < 2e-3
    assert {row.basis for row in of_kind(found, "gpu") if row.gpu == "h100"} == {"hopper: h200"}


@pytest.mark.medium
def test_each_row_is_held_out_with_its_gpu_and_its_model_and_models_of_equal_layers(found):
    assert len(of_kind(found, "gpu")) == len(of_kind(found, "model")) == len(rows())
    assert {row.without for row in of_kind(found, "layers")} == {"llama-3.1-8b and mistral-7b"}
    assert {row.model for row in of_kind(found, "layers")} == {"llama-3.1-8b", "mistral-7b"}
    assert found.uncovered == []


@pytest.mark.medium
def test_a_configuration_of_one_gpu_is_not_covered_without_it():
    one = [row for row in rows() if row.configuration != MARLIN or row.gpu == "h100"]
    check = heldout.check(one)
    assert {row.configuration for fold, missing in check.uncovered for row in missing} == {MARLIN}
    assert [fold.name for fold, _ in check.uncovered] == ["h100"]


def test_packed_rows_alone_cannot_be_checked():
    with pytest.raises(BadRecord, match="no record of cublas"):
        heldout.check([observation(MARLIN, "qwen2.5-7b")])


@pytest.mark.medium
def test_the_papers_steps_are_predicted_and_never_fitted(found):
    published = of_kind(found, "paper")
    quantised = [row for row in published if (row.gpu, row.measured_ms) == ("l4", 62.32)]
    assert [(row.runtime, row.cache, row.basis, row.inside) for row in quantised] == [
        ("eager", "dynamic", "untested", True)
    ]
    assert {row.measured_ms for row in published if row.runtime == "graph"} == {11.776}
    assert {round(row.measured_ms, 6) for row in published} >= {
        round(paper.implied_ms(figure), 6) for figure in paper.floor_rows()
    }
    assert not any(row.is_tested for row in published)


@pytest.mark.slow
def test_the_check_of_the_committed_records_holds_out_what_it_must(honest):
    gpus = {row.without for row in of_kind(honest, "gpu")}
    assert gpus == {"h100", "h200"}
    for row in of_kind(honest, "gpu"):
        assert row.gpu == row.without
        assert row.without not in row.basis
    assert {row.model for row in of_kind(honest, "model")} == {"qwen2.5-7b", "llama-3.1-8b", "mistral-7b"}
    assert any(row.gpu == "l4" and row.quant == "gptq" and row.measured_ms == 17.36 for row in of_kind(honest, "paper"))


@pytest.mark.slow
def test_what_the_page_says_of_the_rows_that_are_not_checked(honest):
    """docs/prediction.md: which quantised rows of the H200 are predicted from the H100, how well, and that all rows
    outside their ranges are predicted from layers of one shape."""
    page = " ".join((ROOT / "docs" / "prediction.md").read_text(encoding="utf-8").split())
    packed = {
        gpu: {row.configuration for row in committed().rows if row.gpu == gpu and row.configuration.quant != "bf16"}
        for gpu in ("h100", "h200")
    }
    (missing,) = [rows_ for fold, rows_ in honest.uncovered if (fold.kind, fold.name) == ("gpu", "h100")]
    assert {row.configuration for row in missing} == packed["h100"] - packed["h200"]
    assert {each.runtime for each in packed["h200"]} == {"graph"}
    checked = [row for row in honest.rows if row.without == row.gpu == "h200" and row.quant != "bf16"]
    errors = sorted(100 * abs(row.error) for row in checked)
    assert len(checked) == len(packed["h200"]) == 3
    assert f"are predicted with errors of {errors[0]:.1f} to {errors[-1]:.1f} %" in page
    outside = {row.without for row in honest.rows if row.is_tested and not row.inside}
    assert outside == {"qwen2.5-7b"}


@pytest.mark.slow
def test_no_held_out_row_is_among_the_rows_of_its_fit(monkeypatch):
    """The check is honest only if neither the constants nor the range of a row have seen it."""
    seen = []
    fit = heldout.residuals.with_spreads

    def watched(observed):
        seen.append({session.session for row in observed for session in row.sessions})
        return fit(observed)

    monkeypatch.setattr(heldout.residuals, "with_spreads", watched)
    observed = committed().rows
    heldout.check(observed)
    folds = list(heldout._folds(observed))
    for fold, fitted in zip(folds, seen, strict=False):
        assert not fitted & {session.session for row in fold.held_out for session in row.sessions}, fold.name


@pytest.mark.slow
def test_what_the_committed_check_reaches(honest):
    """Bounds that hold with a margin: the page has the figures."""
    tested = [row for row in honest.rows if row.is_tested]
    errors = sorted(abs(row.error) for row in tested)
    assert errors[len(errors) // 2] <= 0.10
    assert sum(row.inside for row in tested) >= 0.9 * len(tested)
    device = [abs(row.error) for row in tested if row.limit != "host-bound"]
    assert max(device) <= 0.25
    assert {row.runtime for row in tested if abs(row.error) > 0.25} <= {"eager"}
    l4 = [row for row in honest.rows if row.gpu == "l4" and row.basis == "untested"]
    assert l4
    assert all(row.inside for row in l4)


def test_the_verdict_and_range_in_words():
    row = heldout.HeldOut(
        *("gpu", "h100", "h100", "qwen2.5-7b", 2048, "bf16", "cublas", "graph", "static", "bf16"),
        *(10.0, 9.9, 10.1, 9.0, 8.0, 9.9, -0.1, False, "memory", "hopper: h200", []),
    )
    assert (row.range, row.verdict) == ("8.00 to 9.90", "outside")
