"""`runner verify`: does a record hold together, with itself and with what is committed beside it?

Checks of one record, of several, and of their history belong here. Nothing here needs torch or MLflow.
"""
