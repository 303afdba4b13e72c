"""A module of a kernel or a runtime: its declaration alone."""

from __future__ import annotations

from runner.declarations import KernelDeclaration, RuntimeDeclaration


class FakeModule:
    def __init__(self, declaration: RuntimeDeclaration | KernelDeclaration) -> None:
        self.DECLARATION = declaration
