"""Tables, one module each: a module that declares a `TABLE` is found by `analysis.registry`, and needs no other line.

Modules whose names begin with `_` are parts of tables. Nothing here reads files or stores, or draws.
"""
