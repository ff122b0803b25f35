"""No module of the package has more than 300 lines, no function more than 60."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "comining"


def too_long(text):
    """The names of functions that are too long, and "module" if it is itself."""
    kinds = ast.FunctionDef, ast.AsyncFunctionDef
    functions = [x for x in ast.walk(ast.parse(text)) if isinstance(x, kinds)]
    found = [x.name for x in functions if lines(x) - docstring_lines(x) > 60]
    return found + ["module"] * (len(text.splitlines()) > 300)


def lines(node):
    return node.end_lineno - node.lineno + 1


def docstring_lines(function):
    return lines(function.body[0]) if ast.get_docstring(function) is not None else 0


def test_what_is_too_long():
    body = "    x = 1\n"
    assert too_long(f"def a():\n{59 * body}def b():\n{60 * body}") == ["b"]
    assert too_long(300 * "x = 1\n") == []
    assert too_long(301 * "x = 1\n") == ["module"]


def test_nothing_is_too_long():
    paths = sorted(PACKAGE.rglob("*.py"))
    assert len(paths) > 100
    found = {str(x.relative_to(PACKAGE)): too_long(x.read_text("utf-8")) for x in paths}
    assert {path: names for path, names in found.items() if names} == {}
