"""Weight formats, one module each: packing, plain-arithmetic dequantisation, bytes.

A module without `_` is an entry of the registry. Nothing here imports a package that packs weights itself.
"""
