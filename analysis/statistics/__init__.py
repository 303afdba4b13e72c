"""How sure a number is: intervals, the comparison of two arms, and what both are worth in simulations.

Functions of numbers belong here. Nothing here reads a record or a store.
"""
