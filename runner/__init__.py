"""The runner: from a requested cell to a committed record.

Each package says what belongs in it. Importing the runner needs no torch and no MLflow.
"""

__version__ = "0.1.0"
