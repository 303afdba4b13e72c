"""The runner: from a requested cell to a committed record. Importing it needs no torch and no MLflow."""

__version__ = "0.1.0"
