"""The folder of a catalogue of a test's own."""

from tests.support.catalogues import folder

__all__ = ["folder"]  # a fixture
