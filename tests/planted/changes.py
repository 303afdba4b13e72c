"""Prints the changes that cosmic-ray can make in some modules, a line of JSON each.

cosmic-ray's own Python runs this beside the modules: `python changes.py '{"modules": […], "operators": […]}'`.
`cosmic-ray init` would list the changes of all its operators, which takes minutes.
"""

import json
import sys
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.plugins import get_operator


def changes(module, operators):
    """Yields the changes in one module, as cosmic-ray names and counts them."""
    nodes = list(ast_nodes(get_ast_from_path(Path(module))))
    for name in operators:
        operator = get_operator(name)()
        places = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (start, end) in enumerate(places):
            place = {"start_pos": start, "end_pos": end}
            yield {"module_path": module, "operator_name": name, "occurrence": occurrence, **place}


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    for module in wanted["modules"]:
        for change in changes(module, wanted["operators"]):
            print(json.dumps(change))
