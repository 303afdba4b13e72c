"""Statistics: confidence intervals, the comparison of two arms, and simulations of both.

Functions of numbers belong here. Nothing here reads a record or a store.
"""
