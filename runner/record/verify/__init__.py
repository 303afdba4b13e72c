"""`runner verify`: checks that a record is consistent with itself and with the code and data committed beside it.

Checks of one record, of several records, and of their history belong here. Nothing here needs torch or MLflow.
"""
