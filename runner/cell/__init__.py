"""The cell, its protocol, and the bytes and floor of its step.

Words, shapes, the catalogue and byte accounting belong here. Nothing here imports another room of the runner but
`files`, `formats` through the registry, and errors.
"""
