"""The rows that our values beside the paper's figures come from."""

from dataclasses import replace

from analysis.report import derived
from analysis.tables import _figureorigin, _verdict, floor
from tests.support.frames import AB_ROW, frame_of
from tests.support.records import H100, example_record


def test_figures_of_an_ab_of_memory_and_of_a_whole_gpu_lead_to_theirs():
    floors = floor.rows(frame_of([example_record(gpu=H100, cell={"gpu": "h100"})]))
    place = {"gpu": "h100", "model": "qwen2.5-7b", "ctx": 2048}
    pair = replace(AB_ROW, **place, ab="0123", a_ms=14.0, b_ms=12.0, ratio=14 / 12)

    def leads(ours, **changes):
        figure = _verdict.unjudged("r_floor_paper", _verdict.Spot(**{**place, **changes}), None, ours)
        return _figureorigin.anchor(figure, {"floor": floors, "graphs": [pair]})

    assert leads(12.0) == leads(14 / 12) == "ab-0123"
    assert leads(floors[0].peak_bytes / 1e9) == floors[0].anchor
    assert leads(12.0, ctx=4096) is leads(None) is leads(13.0) is None
    (whole,) = derived.ranges(floors)
    assert leads(0.2, model=None, ctx=None) == whole.anchor
    assert leads(0.2, gpu="a100", model=None, ctx=None) is None
