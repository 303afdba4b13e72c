"""Checkpoints: found in a folder or on the hub, and checked before anything is loaded.

Everything that reads headers and configurations belongs here. Nothing here imports torch or the worker.
"""
