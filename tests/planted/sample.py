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


@dataclass(frozen=True, order=True)
class Mutation:
    """One change that cosmic-ray can make; a module, an operator and an occurrence name it, `job` only finds it."""

    module: str
    start: Position
    operator: str
    occurrence: int
    job: str


def listed(work_item: Mapping[str, Any]) -> Mutation:
    """Returns the mutation of a work item, as `cosmic-ray dump` prints it."""
    (spec,) = work_item["mutations"]
    line, column = spec["start_pos"]
    return Mutation(spec["module_path"], (line, column), spec["operator_name"], spec["occurrence"], work_item["job_id"])


def drawn(mutations: Iterable[Mutation], sources: Mapping[str, str], count: int, seed: int) -> list[Mutation]:
    """Returns a simple random sample of those that can change behaviour, or all of them where there are fewer.

    Each is as likely as any other, so a module's share is that of its mutations, and the binomial interval holds.
    A larger sample of the same seed contains the smaller one.
    """
    population = sorted(mutation for mutation in mutations if matters(mutation, sources[mutation.module]))
    random.Random(seed).shuffle(population)
    return sorted(population[:count])


def matters(mutation: Mutation, source: str) -> bool:
    """Whether the operator is one of OPERATORS, and the place is code that runs and decides something."""
    return mutation.operator in OPERATORS and not any(
        start <= mutation.start < end for start, end in inert_spans(source)
    )


@cache
def inert_spans(source: str) -> tuple[tuple[Position, Position], ...]:
    """Returns where a mutation changes nothing: annotations, decorators, and conditions for type checkers."""
    nodes = [inert for node in ast.walk(ast.parse(source)) for inert in _inert(node)]
    return tuple(((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)) for node in nodes)


def _inert(node: ast.AST) -> list[Any]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [*node.decorator_list, *filter(None, [node.returns])]
    if isinstance(node, ast.ClassDef):
        return node.decorator_list
    if isinstance(node, ast.arg | ast.AnnAssign):
        return list(filter(None, [node.annotation]))
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return [node.test]
    return []
