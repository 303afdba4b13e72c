"""Figures of tables, one module each, in the common style of `style`.

Nothing here computes a number that a table does not have.
"""

import logging

# matplotlib warns if it cannot write its cache, and then uses a temporary one
logging.getLogger("matplotlib").setLevel(logging.ERROR)
