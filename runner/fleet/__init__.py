"""Studies on a fleet: each session is a Ray task on a node that has its GPU, and its record comes back to the driver.

Ray places the tasks and runs them again after a node was lost. Only the module `cluster` imports Ray, and only when a
fleet is asked for. Nothing outside the command `study` imports this package.
"""
