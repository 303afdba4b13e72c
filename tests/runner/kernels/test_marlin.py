"""What each package is given of a packed layer. The packages are pretended; test_gpu_kernels.py has the real ones."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from runner import kernels, registry
from runner.cell import catalogue
from runner.cell.scheme import Scheme
from runner.kernels import autoawq_triton, exllamav2, marlin
from runner.worker import plainlinear

LINEAR = "runner.kernels._exllamav2linear"
ROWS, COLUMNS = 64, 256  # out, in: another number each, so that none stands for the other


def layer(quant, scheme, bias=True, rows=ROWS, columns=COLUMNS, dtype=torch.float16):
    linear = nn.Linear(columns, rows, bias=bias, dtype=dtype).requires_grad_(False)
    return plainlinear.quantised(linear, quant, scheme)


def module(monkeypatch, name, **members):
    """A module of that name, and packages around it."""
    parts = name.split(".")
    for index in range(1, len(parts) + 1):
        made = ModuleType(".".join(parts[:index]))
        monkeypatch.setitem(sys.modules, made.__name__, made)
    for member, value in members.items():
        setattr(made, member, value)
    return made


class Package(nn.Module):
    """A package's layer: keeps what it was made of."""

    def __init__(self, **asked):
        super().__init__()
        self.asked, self.bias, self.ready = asked, None, []

    def post_init(self):
        """As the real one, it repacks what it holds by then."""
        self.ready.append(dict(self.named_parameters()))


@pytest.fixture
def gptqmodel(monkeypatch):
    class AwqMarlinLinear(Package): ...

    class MarlinLinear(Package): ...

    module(monkeypatch, "gptqmodel.nn_modules.qlinear.marlin", MarlinLinear=MarlinLinear)
    awq = ModuleType("gptqmodel.nn_modules.qlinear.marlin_awq")
    awq.AwqMarlinLinear = AwqMarlinLinear
    monkeypatch.setitem(sys.modules, awq.__name__, awq)
    loaded = []
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)
    return loaded


@pytest.mark.parametrize(
    ("quant", "scheme", "kind"),
    [("awq", Scheme(128), "AwqMarlinLinear"), ("gptq", Scheme(64, sym=True, desc_act=True), "MarlinLinear")],
)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.usefixtures("gptqmodel")
def test_marlin_is_given_the_layer_as_it_is(quant, scheme, kind, bias):
    asked = layer(quant, scheme, bias)
    stored = dict(asked.tensors)
    (made,) = marlin.linears([asked])
    assert type(made).__name__ == kind
    assert made.asked == {
        "bits": 4,
        "group_size": scheme.group_size,
        "desc_act": scheme.desc_act,
        "sym": scheme.sym,
        "in_features": COLUMNS,
        "out_features": ROWS,
        "bias": bias,
        "dtype": torch.float16,
        "register_buffers": True,
    }
    (ready,) = made.ready  # all is there when the package repacks
    assert ready.keys() == stored.keys()
    assert all(torch.equal(ready[name], tensor) for name, tensor in stored.items())
    if bias:
        assert torch.equal(made.bias, asked.bias)
        assert made.bias.data_ptr() != asked.bias.data_ptr()  # it is permuted in place
    else:
        assert made.bias is None


@pytest.mark.usefixtures("gptqmodel")
def test_marlins_scales_are_of_the_cells_dtype_and_its_codes_are_not_touched():
    (made,) = marlin.linears([layer("awq", Scheme(128), dtype=torch.bfloat16)])
    assert {name: tensor.dtype for name, tensor in made.ready[0].items()} == {
        "qweight": torch.int32,
        "qzeros": torch.int32,
        "scales": torch.bfloat16,
    }


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.float16, "marlin_fp16_ops.so"), (torch.bfloat16, "marlin_bf16_ops.so")]
)
def test_marlins_compiled_kernels_are_taken_from_the_module_path(gptqmodel, monkeypatch, tmp_path, dtype, name):
    list(marlin.linears([layer("awq", Scheme(128), dtype=dtype)]))
    assert gptqmodel == []
    for each in ("fp16", "bf16"):
        (tmp_path / f"gptqmodel_marlin_{each}_ops.so").touch()
    monkeypatch.syspath_prepend(tmp_path)
    list(marlin.linears([layer("awq", Scheme(128), dtype=dtype)]))
    assert gptqmodel == [str(tmp_path / f"gptqmodel_{name}")]


@pytest.mark.parametrize(
    ("quant", "scheme", "said"),
    [
        ("gptq", Scheme(128, sym=True), None),
        ("awq", Scheme(128), None),
        ("awq", Scheme(32), None),
        ("awq", Scheme(64), None),
        ("gptq", Scheme(128), "no zero points for gptq"),
        ("awq", Scheme(256), "groups of 32, 64, 128, not of 256"),
        ("awq", Scheme(16), "groups of 32, 64, 128, not of 16"),
    ],
)
def test_marlin_says_why_it_cannot_multiply_a_scheme(quant, scheme, said):
    found = marlin.DECLARATION.refuses(scheme, quant)
    assert found is None if said is None else said in found


@pytest.mark.parametrize("bias", [True, False])
def test_autoawq_is_given_the_layer_as_it_is(monkeypatch, bias):
    module(monkeypatch, "awq.modules.linear.gemm", WQLinear_GEMM=Buffered)
    asked = layer("awq", Scheme(64), bias)
    (made,) = autoawq_triton.linears([asked])
    assert made.asked == {
        "w_bit": 4,
        "group_size": 64,
        "in_features": COLUMNS,
        "out_features": ROWS,
        "bias": bias,
        "dev": "meta",
    }
    held = dict(made.named_buffers())
    expected = asked.tensors | ({"bias": asked.bias.data} if bias else {})
    assert held.keys() == expected.keys()
    assert all(torch.equal(held[name], tensor) for name, tensor in expected.items())


class Buffered(nn.Module):
    def __init__(self, **asked):
        super().__init__()
        self.asked = asked


class Extension:
    """exllamav2's: its handle is the plain layer's matrix, which it multiplies as the real one does."""

    def __init__(self):
        self.made, self.freed, self.products = [], [], []

    def make_q_matrix(self, qweight, order, inverse, w, x, y, z, qzeros, scales, groups, bias, scratch, room):
        assert all(each.device.type == "meta" for each in (w, x, y, z))
        names = ("qweight", "order", "inverse", "qzeros", "scales", "groups", "bias", "scratch", "room")
        values = (qweight, order, inverse, qzeros, scales, groups, bias, scratch, room)
        self.made.append(dict(zip(names, values, strict=True)))
        return len(self.made)

    def gemm_half_q_half(self, x, handle, out, force_cuda):
        self.products.append((tuple(x.shape), handle, force_cuda))
        out.copy_(x @ self.matrix[handle].T + self.bias_of(handle))

    def reconstruct(self, handle, into):
        into.copy_(self.matrix[handle].T)

    def bias_of(self, handle):
        bias = self.made[handle - 1]["bias"]
        return 0 if bias.device.type == "meta" else bias

    def free_q_matrix(self, handle):
        self.freed.append(handle)


@pytest.fixture
def extension(monkeypatch):
    found = Extension()
    members = ("make_q_matrix", "gemm_half_q_half", "reconstruct", "free_q_matrix")
    module(monkeypatch, "exllamav2_ext", **{name: getattr(found, name) for name in members})
    # what imports it does so anew, and leaves nothing of the pretended one
    monkeypatch.delitem(sys.modules, LINEAR, raising=False)
    monkeypatch.delattr(kernels, "_exllamav2linear", raising=False)
    yield found
    sys.modules.pop(LINEAR, None)
    vars(kernels).pop("_exllamav2linear", None)


def made_of(extension, *layers):
    extension.matrix = {index + 1: each.matrix(torch.float16) for index, each in enumerate(layers)}
    return list(exllamav2.linears(layers))


@pytest.mark.parametrize("tokens", [1, 32, 33, 40])
@pytest.mark.parametrize("bias", [True, False])
def test_exllamav2_multiplies_few_tokens_itself_and_a_prompt_by_its_matrix(extension, tokens, bias):
    asked = layer("gptq", Scheme(128, sym=True), bias)
    (made,) = made_of(extension, asked)
    x = torch.randn(1, tokens, COLUMNS).half()
    with torch.inference_mode():
        torch.testing.assert_close(made(x), asked(x), rtol=1e-2, atol=1e-2)
    assert extension.products == ([((tokens, COLUMNS), 1, False)] if tokens <= 32 else [])


@pytest.mark.parametrize("bias", [True, False])
def test_the_extension_is_given_the_layer_as_it_is(extension, bias):
    asked = layer("gptq", Scheme(128, sym=True), bias)
    (made,) = made_of(extension, asked)
    (given,) = extension.made
    for name in ("qweight", "qzeros", "scales"):
        assert given[name] is made.tensors[name]
        assert torch.equal(given[name], asked.tensors[name])
    assert {name: given[name].device.type for name in ("order", "inverse", "groups")} == dict.fromkeys(
        ("order", "inverse", "groups"), "meta"
    )
    assert (given["bias"].device.type == "meta") is not bias
    assert given["room"] == COLUMNS


def test_inputs_in_the_order_of_activations_have_buffers_for_their_order(extension):
    asked = layer("gptq", Scheme(128, sym=True, desc_act=True))
    asked.tensors["g_idx"] = torch.arange(COLUMNS, dtype=torch.int32) // 128
    (made,) = made_of(extension, asked)
    (given,) = extension.made
    assert given["order"] is made.tensors["order"]
    assert given["inverse"] is made.tensors["inverse"]
    assert given["order"].shape == given["inverse"].shape == (COLUMNS,)
    assert given["order"].dtype == torch.short
    assert given["groups"].device.type == "cpu"
    assert torch.equal(given["groups"], asked.tensors["g_idx"])


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


def test_a_layer_that_is_gone_gives_its_matrix_back_once(extension):
    made = made_of(extension, *(layer("gptq", Scheme(128, sym=True)) for _ in range(2)))
    assert extension.freed == []
    del made[0]
    assert extension.freed == [1]


def test_a_layer_that_was_never_made_gives_nothing_back(extension, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(sys.modules["exllamav2_ext"], "make_q_matrix", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(exllamav2.linears([layer("gptq", Scheme(128, sym=True))]))
    assert extension.freed == []


@pytest.mark.parametrize("name", registry.kernel_names())
def test_a_kernel_from_a_package_says_how_to_get_it(name):
    declared = registry.kernel(name).DECLARATION
    found = SimpleNamespace(package=declared.package, module=declared.module, remedy=declared.remedy)
    assert len({value is None for value in vars(found).values()}) == 1
    assert declared.signatures
