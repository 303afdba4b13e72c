"""The layout of a step on a card: what fits, and what is refused with a line that names the dimension."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import BadValue
from runner.fused import geometry, sharedmemory
from runner.fused.geometry import Card
from tests.support.fusedshapes import A100, H200, L4, ORIN, everything, of_catalogue


@pytest.mark.parametrize("card", [H200, A100, L4])
@pytest.mark.parametrize("name", everything())
def test_every_shape_has_a_layout_on_every_card(name: str, card: Card) -> None:
    shape = everything()[name]
    layout = geometry.choose(shape, card)
    assert layout.slots * layout.slot_bytes < card.shared_bytes
    assert layout.slots >= 2 * layout.warps + layout.fillers * layout.flights  # ring.cuh has the reason
    assert 0 in (layout.warps % layout.pieces, layout.pieces % layout.warps)
    assert geometry.piece_bytes(shape.intermediate, layout.pieces) <= layout.slot_bytes
    assert layout.threads <= 256  # so that a thread may have 255 registers


def test_the_ring_of_qwen_holds_whole_rows() -> None:
    layout = geometry.choose(of_catalogue()["qwen2.5-7b"], H200)
    # 30 slots · 7168 bytes = 215040: 6.3 µs of an H200's stream (34 bytes/ns on each multiprocessor)
    assert (layout.warps, layout.slots, layout.slot_bytes) == (6, 30, 2 * 3584)


def test_a_small_ring_has_more_pieces_than_warps() -> None:
    # 12 slots of 7168 bytes on an L4: rows of 37888 bytes need 6 pieces or more, and 6 warps would need 12 slots alone
    layout = geometry.choose(of_catalogue()["qwen2.5-7b"], L4)
    assert (layout.warps, layout.pieces, layout.slots, layout.flights) == (4, 8, 12, 2)


def test_a_block_has_a_share_of_every_phase() -> None:
    layout = geometry.choose(of_catalogue()["tiny"], H200)
    assert layout.blocks == 4 * 32 // 2  # pairs of attention's outputs: fewer than multiprocessors


@pytest.mark.parametrize(
    ("change", "dimension"),
    [
        ({"hidden": 3580}, "hidden=3580"),
        ({"intermediate": 18940}, "intermediate=18940"),
        ({"head_dim": 80}, "head_dim=80"),
        ({"heads": 36}, "heads=36"),
        ({"heads": 30}, "heads=30"),
        ({"hidden": 65536}, "hidden=65536"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(change: dict[str, int], dimension: str) -> None:
    shape = replace(of_catalogue()["qwen2.5-7b"], **change)
    with pytest.raises(BadValue, match=dimension):
        geometry.choose(shape, H200)


def test_fewer_multiprocessors_than_key_heads_are_refused() -> None:
    with pytest.raises(BadValue, match="at least kv_heads=8"):
        geometry.choose(of_catalogue()["llama-3.1-8b"], Card(7, H200.shared_bytes))


@pytest.mark.parametrize(
    ("model", "dimension"),
    [
        ("qwen2.5-7b", "heads=28: 4608 rows need at least 24 multiprocessors, not 16"),  # 192 rows a block: 6 warps
        ("mistral-7b", "heads=32: 6144 rows need at least 32 multiprocessors, not 16"),
    ],
)
def test_too_few_multiprocessors_are_refused(model: str, dimension: str) -> None:
    with pytest.raises(BadValue, match=dimension):
        geometry.choose(of_catalogue()[model], ORIN)


def test_the_ring_is_as_long_as_leaves_room_for_the_rest_of_a_blocks_memory() -> None:
    wide = {"hidden": 2112, "heads": 16, "kv_heads": 2, "head_dim": 128, "intermediate": 23744, "layers": 28}
    layout = geometry.choose(replace(of_catalogue()["tiny"], **wide), H200)
    longer = replace(layout, slots=layout.slots + geometry.FILLERS)
    assert sharedmemory.needed_bytes(layout) <= H200.shared_bytes < sharedmemory.needed_bytes(longer)


SHAPES = st.fixed_dictionaries(
    {
        "hidden": st.integers(1, 1024).map(lambda count: 8 * count),
        "intermediate": st.integers(1, 4096).map(lambda count: 8 * count),
        "head_dim": st.sampled_from([32, 64, 96, 128, 256]),
        "kv_heads": st.integers(1, 16),
        "layers": st.integers(1, 96),
    }
)


@given(change=SHAPES, group=st.integers(1, 8), card=st.sampled_from([H200, A100, L4, ORIN]))
def test_a_layout_fits_its_card_or_a_dimension_is_named(change: dict[str, int], group: int, card: Card) -> None:
    shape = replace(of_catalogue()["tiny"], **change, heads=group * change["kv_heads"])
    try:
        layout = geometry.choose(shape, card)
    except BadValue:
        with pytest.raises(BadValue, match=r"(hidden|intermediate|head_dim|heads|kv_heads)=\d+"):
            geometry.choose(shape, card)
    else:
        assert sharedmemory.needed_bytes(layout) <= card.shared_bytes


def test_a_block_with_many_rows_has_as_many_lanes() -> None:
    # 896 / 8 = 112 rows of the hidden state, 1152 / 8 = 144 of Wq, Wk and Wv: 5 warps have 160 lanes
    assert geometry.choose(of_catalogue()["qwen2.5-0.5b"], Card(8, H200.shared_bytes)).warps >= 5
