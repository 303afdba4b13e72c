"""The persistent decode kernel: its geometry, its plan and a checker of it, its CUDA sources, compiling and launching.

It imports neither the worker nor the runtimes. torch and NVIDIA's packages are imported inside functions only.
"""
