"""Figures of the tables' rows, one module each; all have the look of `style`.

Nothing here computes a number that a table does not have.
"""

import logging

# it warns where it cannot keep its cache, and makes a new one for itself
logging.getLogger("matplotlib").setLevel(logging.ERROR)
