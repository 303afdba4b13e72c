"""The claims table: verdicts, measured tests, and sentences."""

import pytest

from analysis.tables import claims
from tests.support.claimcells import sessions
from tests.support.frames import frame_of

CLAIMS = ["memory", "bandwidth", "graphs", "quantisation"]


@pytest.fixture
def table():
    return claims.rows(frame_of(sessions("h200", [36.0] * 3)), [])


@pytest.mark.medium
def test_each_claim_has_a_verdict_then_follow_its_tests(table):
    verdicts = claims.verdicts(table)
    assert [row.claim for row in verdicts] == CLAIMS
    assert table[: len(verdicts)] == verdicts
    # of one cell: reading takes little of the step, and most of its kernels' time
    assert [row.verdict for row in verdicts] == ["holds in part", *["not measured here"] * 3]
    assert [row.passed + row.failed + row.undecided + row.unmeasured for row in verdicts] == [48, 24, 3, 12]
    assert [row.outcome for row in claims.measured(table)] == ["no", "yes"]


@pytest.mark.medium
def test_the_grid_has_the_tests_that_were_measured_and_a_sentence_those_that_were_not(table):
    text = claims.TABLE.markdown(table)
    assert text.count("| memory |") == 2
    assert "| h200 | qwen2.5-7b | 2048 | eager, static cache |" in text
    assert "- memory: 46 tests not measured; missing are h100 eager: qwen2.5-7b at 2048, 4096, 8192 and 16384" in text
    assert "l4 A/B of eager against graph, static cache: qwen2.5-7b at 2048" in text


@pytest.mark.medium
def test_the_papers_bytes_count_the_embedding(table):
    # 152064 · 3584 · 2 bytes are 1.09 GB; 14.259 GB at 3350 GB/s are 4.256 ms, of which 14.828 makes .287
    said = "h100 qwen2.5-7b 2048: 1.09 of the 15.35 GB that the paper counts are the input embedding, of which a step "
    said += "reads one row. Its 0.270 is 0.251 in streamed bytes at the 16.97 ms that it implies, "
    said += "and 0.287 at the 14.828 ms of the eager arm of its A/B"
    assert said in claims.sentences(table)
