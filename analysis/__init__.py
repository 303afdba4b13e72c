"""Tables, figures and reports from records.

Nothing here measures or imports torch. Only `sources`, `publish` and the command line access a store.
"""
