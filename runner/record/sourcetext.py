"""The part of a Python file's text that affects its behaviour. The code key is a hash of it.

Comments, docstrings and other bare strings, imports of the project's own modules, blank lines, trailing space and
carriage returns are removed by position. The result is the same under every supported version of Python, unlike
`ast.dump`, and string literals stay unchanged. This module needs the standard library alone.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from itertools import accumulate

PROJECT = ("analysis", "images", "runner", "tests")
Span = tuple[int, int]
"""Begin and end of a piece of text, in characters."""
IN_STRING = "\0"  # replaces a line end inside a string; no source contains it


def essence(source: str) -> str:
    """Returns `source` without the parts that cannot affect behaviour. Raises SyntaxError if it is not Python."""
    text = source.replace("\r\n", "\n").replace("\r", "\n")
    starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    strings, cut = _tokens(text, starts)
    edits = {span: text[slice(*span)].replace("\n", IN_STRING) for span in strings}
    edits |= dict.fromkeys((*cut, *_statements(text, starts)), "")
    lines = (line.rstrip() for line in _edited(text, edits).split("\n"))
    return "".join(f"{line}\n" for line in lines if line).replace(IN_STRING, "\n")


def _edited(text: str, edits: dict[Span, str]) -> str:
    """Returns the text with its spans replaced. A span inside another one is replaced with it."""
    pieces, done = [], 0
    for (begin, end), new in sorted(edits.items(), key=lambda edit: (edit[0][0], -edit[0][1])):
        if begin >= done:
            pieces += [text[done:begin], new]
            done = end
    return "".join([*pieces, text[done:]])


def _tokens(text: str, starts: list[int]) -> tuple[list[Span], list[Span]]:
    """Returns the spans of all string literals, f-strings as a whole, and of all comments."""
    strings: list[Span] = []
    comments: list[Span] = []
    opened: list[int] = []  # f-strings are single tokens before Python 3.12, and may be nested from then on
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        begin, end = (starts[line - 1] + column for line, column in (token.start, token.end))
        name = tokenize.tok_name[token.type]
        if name == "FSTRING_START":
            opened.append(begin)
        elif name == "FSTRING_END":
            strings.append((opened.pop(), end))
        elif name == "STRING":
            strings.append((begin, end))
        elif name == "COMMENT":
            comments.append((begin, end))
    return strings, comments


def _statements(text: str, starts: list[int]) -> Iterator[Span]:
    """Yields the spans of bare strings and of imports of the project's own modules."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt) and (_is_bare_string(node) or _is_project_import(node)):
            yield _span(text, starts, node)


def _is_bare_string(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_project_import(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or str(node.module).partition(".")[0] in PROJECT
    return isinstance(node, ast.Import) and all(alias.name.partition(".")[0] in PROJECT for alias in node.names)


def _span(text: str, starts: list[int], node: ast.stmt) -> Span:
    """Returns the span of a node in characters. `ast` counts columns in bytes of UTF-8."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    ends = ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
    begin, end = (starts[line - 1] + _characters(text, starts, line, column) for line, column in ends)
    return begin, end


def _characters(text: str, starts: list[int], line: int, column: int) -> int:
    return len(text[starts[line - 1] : starts[line]].encode()[:column].decode())
