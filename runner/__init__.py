"""The runner: from a requested cell to a committed record.

Each package's docstring says what belongs in it. Importing the runner needs neither torch nor MLflow.
"""

__version__ = "0.1.0"
