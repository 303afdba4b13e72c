"""The persistent decode kernel: its geometry and plan, its CUDA sources, compiling and launching them.

It imports neither the worker nor the runtimes. torch and NVIDIA's packages are imported inside functions only.
"""
