"""Checkpoints: found in a folder or on the hub, and checked before anything is loaded."""
