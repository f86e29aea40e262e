"""The text of a file, with the place of each node of its syntax tree."""

import ast
from functools import cached_property

Edit = tuple[int, int, str]  # the characters from start to end become a text


class Source:
    """The text of a file, its syntax tree, and the place of each node in characters."""

    def __init__(self, text: str):
        self.text = text
        self.tree = ast.parse(text)

    @cached_property
    def modules(self) -> frozenset[str]:
        """The modules that the file imports whole, by the names that they have in it."""
        imports = (node for node in ast.walk(self.tree) if isinstance(node, ast.Import))
        return frozenset(alias.asname or alias.name for node in imports for alias in node.names)

    @cached_property
    def dump(self) -> str:
        return ast.dump(self.tree)

    @cached_property
    def _lines(self) -> tuple[list[int], list[str]]:
        lines = self.text.splitlines(keepends=True)
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line))
        return starts, lines

    def _offset(self, line: int, column: int) -> int:
        starts, lines = self._lines
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        """The first character of a node, and the one after its last."""
        assert isinstance(node, ast.stmt | ast.expr | ast.keyword | ast.arg)
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = self._offset(node.lineno, node.col_offset)
        return start, self._offset(node.end_lineno, node.end_col_offset)

    def of(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def operand(self, node: ast.AST) -> str:
        """The text of an expression that may stand beside any operator."""
        loose = isinstance(
            node, ast.BinOp | ast.BoolOp | ast.Compare | ast.IfExp | ast.Lambda | ast.UnaryOp
        )
        return f"({self.of(node)})" if loose else self.of(node)

    def in_brackets(self, node: ast.AST) -> bool:
        start, end = self.span(node)
        return self.text[start - 1 : start] == "(" and self.text[end : end + 1] == ")"


def name_of(function: ast.expr) -> str:
    """The last name of what is called; empty if it has none."""
    match function:
        case ast.Name(name) | ast.Attribute(_, name):
            return name
    return ""
