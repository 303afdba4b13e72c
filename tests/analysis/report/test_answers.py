"""The first screen: the questions that the tables declare, a line per GPU, each with a link to its row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis import registry
from analysis.question import Line
from analysis.report import answers
from analysis.report.answers import Answer, GPULine
from analysis.report.contents import Contents
from tests.support.pages import Page, with_rows

QUESTIONS = [
    "Which configuration is fastest on each GPU?",
    "How far is it from the memory floor?",
    "What do CUDA Graphs buy?",
    "What does a fused kernel buy beyond them?",
    "Which quantisation pays?",
]


@pytest.mark.medium
def test_each_question_has_a_line_for_each_gpu(committed: Contents) -> None:
    found = committed.answers
    assert [answer.question for answer in found] == QUESTIONS
    assert all([each.gpu for each in answer.lines] == ["h100", "h200"] for answer in found)


@pytest.mark.medium
def test_a_line_with_a_number_links_to_the_row_that_has_it(committed: Contents, committed_html: str) -> None:
    ids = {attributes["id"] for _, attributes in Page(committed_html).tags if "id" in attributes}
    lines = {(answer.question, each.gpu): each for answer in committed.answers for each in answer.lines}
    assert all((each.to in ids) if each.line.number else each.to is None for each in lines.values())
    assert sum(bool(each.line.number) for each in lines.values()) == 9  # no A/B of the fused kernel ran on the H100
    graphs = lines[QUESTIONS[2], "h200"]
    assert graphs.to is not None
    assert graphs.to.startswith("graphs-ab-")
    unpaired = lines[QUESTIONS[2], "h100"]  # without an A/B, from the floor table
    assert unpaired.to is not None
    assert unpaired.to.startswith("floor-group-")
    assert unpaired.line.text.startswith("not an A/B")


@pytest.mark.medium
def test_the_committed_answers_follow_from_the_rows(committed: Contents) -> None:
    """No committed row is free of flags, and the best quantised step is compared with the fp16 graph."""
    said = {(answer.question, each.gpu): each.line for answer in committed.answers for each in answer.lines}
    h100 = [row for row in committed.valid if (row.gpu, row.model, row.ctx) == ("h100", "qwen2.5-7b", 2048)]
    best = min(h100, key=lambda row: row.step_wall_ms or 0.0)
    fastest = said[QUESTIONS[0], "h100"]
    assert fastest.row == best
    assert fastest.number == f"{best.step_wall_ms:.2f} ms"
    assert f"fastest of {len(h100)} configurations (qwen2.5-7b, ctx 2048)" in fastest.text
    assert "no row qualifies (gate-1 on 23 of 23)" in fastest.caveat
    paying = said[QUESTIONS[4], "h100"]
    assert "over graph fp16" in paying.text
    assert f"p90 {best.step_wall_p90_ms:.2f} ms" in paying.text


@pytest.mark.medium
def test_other_rows_give_other_answers(committed: Contents) -> None:
    (question, *_) = committed.answers
    (first, *_) = question.lines
    quicker = [
        replace(row, step_wall_ms=1.25, flags=[]) if row == first.line.row else row for row in committed.rows["floor"]
    ]
    (changed, *_) = with_rows(committed, floor=quicker).answers[0].lines
    assert (changed.line.number, changed.line.caveat) == ("1.25 ms", "")


def test_without_rows_each_question_still_has_its_lines() -> None:
    nothing = {table.name: [] for table in registry.tables()}
    found = answers.answers(nothing, ["h200"])
    assert [answer.question for answer in found] == QUESTIONS
    assert all(each.line.text and each.to is None for answer in found for each in answer.lines)


def test_an_answer_is_a_list_in_markdown() -> None:
    lines = (GPULine("h100", Line("graph", "8.00 ms"), "floor-group-0"), GPULine("l4", Line("No row is valid"), None))
    assert Answer("Which?", "valid", lines).markdown == (
        "**Which?** (valid)\n\n- h100: 8.00 ms: graph.\n- l4: No row is valid."
    )
    assert Answer("Which?", "", ()).markdown.startswith("**Which?**\n")
