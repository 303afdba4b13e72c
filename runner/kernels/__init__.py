"""Kernels that multiply the weights, one module each: what they need, and how they are recognised when they ran."""
