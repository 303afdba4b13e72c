"""`runner verify`: does a record hold together, with itself and with what is committed beside it?

What a check of one record, of several, or of their history asks belongs here. Nothing here needs torch or MLflow.
"""
