"""A stand-in for exllamav2's compiled extension, as far as the kernel calls it."""

import torch

from runner.kernels import exllamav2


class Extension:
    """Its handle is the plain layer's matrix, which it multiplies as the real one does."""

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


def made_of(extension, *layers):
    """The kernel's layers, over an extension that knows their matrices."""
    extension.matrix = {index + 1: each.matrix(torch.float16) for index, each in enumerate(layers)}
    return list(exllamav2.linears(layers))
