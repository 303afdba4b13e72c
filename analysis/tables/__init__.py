"""Tables, one module each. `analysis.registry` finds every module that declares a `TABLE`.

Modules whose names begin with `_` are parts of tables. Nothing here reads files or stores, or draws.
"""
