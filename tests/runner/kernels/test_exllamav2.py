"""The buffer that all of exllamav2's layers share: as large as the largest matrix, and in the prediction."""

from runner.cell import catalogue
from runner.cell.scheme import Scheme
from runner.kernels import exllamav2
from tests.fakes.exllamav2_extension import made_of
from tests.support.packed_layers import ROWS, layer


def test_all_layers_share_a_buffer_as_large_as_the_largest_matrix(extension):
    layers = [layer("gptq", Scheme(128, sym=True), columns=columns) for columns in (128, 512, 256)]
    made = made_of(extension, *layers)
    assert len({id(each.scratch) for each in made}) == 1
    assert made[0].scratch.shape == (ROWS * 512,)
    assert [each["room"] for each in extension.made] == [512, 512, 512]


def test_what_the_buffer_takes_is_in_the_prediction():
    shape = catalogue.models()["qwen2.5-7b"].shape
    # the largest matrix is 18944 · 3584, two bytes each
    assert exllamav2.DECLARATION.workspace_bytes(shape) == 2 * 18944 * 3584
