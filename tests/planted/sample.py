"""The planted bugs: which of the mutations that cosmic-ray lists can change behaviour, and a seeded sample of them."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

Position = tuple[int, int]  # line from 1, column from 0, as parso and ast count them in ASCII text

# One or two replacements an operator. The many others of cosmic-ray's (a + b as a << b) mostly raise a TypeError in
# whatever test comes first: they would raise the share that is killed, and say nothing.
# RemoveDecorator is left out: without @dataclass or @contextmanager nothing imports or runs, and without @cache
# everything works. `in` and `not in` have no operator in cosmic-ray.
OPERATORS = frozenset(
    f"core/{name}"
    for name in (
        *(f"ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Div")),
        *(f"ReplaceBinaryOperator_{pair}" for pair in ("Mod_FloorDiv", "Pow_Mul", "LShift_RShift", "RShift_LShift")),
        *(f"ReplaceBinaryOperator_{pair}" for pair in ("BitOr_BitAnd", "BitAnd_BitOr", "BitXor_BitOr")),
        *(f"ReplaceComparisonOperator_{pair}" for pair in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")),
        *(f"ReplaceComparisonOperator_{pair}" for pair in ("Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt")),
        *(f"ReplaceComparisonOperator_{pair}" for pair in ("Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt")),
        *(f"ReplaceUnaryOperator_{pair}" for pair in ("USub_UAdd", "UAdd_USub", "Delete_Not", "Delete_Invert")),
        *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd", "AddNot"),
        *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
        *("ExceptionReplacer", "NumberReplacer"),
    )
)

BUILT_IN_TYPES = ("bool", "bytes", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple", "type")


@dataclass(frozen=True, order=True)
class Mutation:
    """One change that cosmic-ray can make. A module, an operator and an occurrence name it."""

    module: str
    start: Position
    operator: str
    occurrence: int
    end: Position

    @property
    def name(self) -> str:
        """The name of the change, which is cosmic-ray's job too."""
        return f"{self.module} {self.operator} {self.occurrence}"

    @property
    def change(self) -> dict[str, Any]:
        """The change in cosmic-ray's words."""
        place = {"start_pos": self.start, "end_pos": self.end}
        return {"module_path": self.module, "operator_name": self.operator, "occurrence": self.occurrence, **place}


def listed(change: Mapping[str, Any]) -> Mutation:
    """Returns the mutation that cosmic-ray's words mean."""
    return Mutation(
        change["module_path"],
        tuple(change["start_pos"]),
        change["operator_name"],
        change["occurrence"],
        tuple(change["end_pos"]),
    )


def drawn(mutations: Iterable[Mutation], sources: Mapping[str, str], count: int, seed: int) -> list[Mutation]:
    """Returns a simple random sample of those that can change behaviour, or all of them if there are fewer.

    Each is as likely as any other, so a module's share is that of its mutations, and the binomial interval holds.
    The order is random too, and does not depend on `count`: a sample begins with every smaller one of the same seed.
    """
    population = sorted(one for one in mutations if matters(one, sources[one.module]))
    random.Random(seed).shuffle(population)
    return population[:count]


def matters(mutation: Mutation, source: str) -> bool:
    """Returns whether the operator is one of OPERATORS, and the place is code that runs and decides something."""
    return mutation.operator in OPERATORS and not any(
        start <= mutation.start < end for start, end in inert_spans(source)
    )


@cache
def inert_spans(source: str) -> tuple[tuple[Position, Position], ...]:
    """Returns where a mutation changes no result: types, decorators, and conditions for type checkers."""
    nodes = [inert for node in ast.walk(ast.parse(source)) for inert in _inert(node)]
    return tuple(((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)) for node in nodes)


def _inert(node: ast.AST) -> list[Any]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [*node.decorator_list, *filter(None, [node.returns])]
        case ast.ClassDef():
            return node.decorator_list
        case ast.arg(annotation=ast.expr() as annotation) | ast.AnnAssign(annotation=annotation):
            return [annotation]
        case ast.Assign(targets=[ast.Name(id=name)]) if name == "__all__" or _is_type(node.value):
            return [node.value]
        case ast.Call(func=ast.Name(id=("isinstance" | "issubclass")), args=[_, types]):
            return [types]
        case ast.Call(func=ast.Name(id="cast"), args=[type_, _]):
            return [type_]
        case ast.Call(func=ast.Name(id="TypeVar")):
            return [node]
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return [node.test]
    return []


def _is_type(value: ast.expr) -> bool:
    """Returns whether a value is an alias such as `Callable[[int], str] | None`, and no number or set."""
    match value:
        case ast.BinOp(op=ast.BitOr()):
            return _is_type(value.left) and _is_type(value.right)
        case ast.Subscript(value=ast.Name(id=name)) | ast.Name(id=name):
            return (name[0].isupper() and not name.isupper()) or name in BUILT_IN_TYPES
    return isinstance(value, ast.Constant) and value.value is None
