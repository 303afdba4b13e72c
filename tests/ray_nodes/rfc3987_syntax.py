"""Every Python that finds this folder on its path goes without the package of this name.

jsonschema, which Ray imports, would load it: that takes longer than all else in each of Ray's many processes. Nothing
here checks the format of an IRI.
"""

raise ImportError("left out for Ray's processes")
