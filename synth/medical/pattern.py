"""Columns that stand in a path: ``{label}/{patient}_*.png``."""

from __future__ import annotations

import re

from synth.errors import UserError


class Pattern:
    """A path pattern. ``{name}`` is a column (as short as it can be, within one folder or file name), ``*`` anything
    within one name, ``**/`` any folders, ``?`` one character; the whole relative path has to match.
    """

    def __init__(self, text: str, where: str = "") -> None:
        self.fields: list[str] = []
        regex = ""
        for token in re.findall(r"\{[^{}]*\}|\*\*/|\*|\?|[^{}*?]+|.", text, re.DOTALL):
            if token.startswith("{") and token.endswith("}") and len(token) > 1:
                name = token[1:-1]
                if not name:
                    raise UserError("a field of the path pattern has no name", where=where,
                                    todo="write the column's name between the braces, or *")
                if name in self.fields:  # the same words again
                    regex += f"(?P=f{self.fields.index(name)})"
                else:
                    regex += f"(?P<f{len(self.fields)}>[^/]+?)"
                    self.fields.append(name)
            elif token in "{}":
                raise UserError("a brace of the path pattern is not closed", where=where,
                                todo="write e.g. \"{label}/{patient}_*.png\"")
            else:
                regex += {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}.get(token, re.escape(token))
        self._regex = re.compile(regex, re.DOTALL)

    def match(self, name: str) -> dict[str, str] | None:
        """The columns of a relative path, ``None`` if it does not fit."""
        found = self._regex.fullmatch(name)
        return None if found is None else {n: found[f"f{i}"] for i, n in enumerate(self.fields)}
