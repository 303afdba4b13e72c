"""Prediction of a step on a GPU without records: a model with few constants, fitted on committed records.

Everything that predicts or judges predictions belongs here. Its committed constants are data; only fitting and checking
read records.
"""
