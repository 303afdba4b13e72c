"""The commands of the command line, one module for those of a kind. A command parses, calls and prints; it computes
nothing. Imports of torch, mlflow and pydantic are not allowed at the top of a module."""
