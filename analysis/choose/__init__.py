"""`choose`: the configurations that meet a deadline, by evidence, price and speed.

Limits, candidates, their judgement and order belong here. The numbers come from records, the paper and `prediction`.
"""
