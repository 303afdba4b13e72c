"""Kernels that multiply the weights, one module each: requirements, and names in a profile.

A module without `_` is an entry of the registry. A kernel's package is imported inside its functions only.
"""
