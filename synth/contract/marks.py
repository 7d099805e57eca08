"""YAML with line marks: plain data, and for every place in it the line it stands on.

A contract is written by hand, so each message about it must say where. The standard library loader
forgets lines, lets a later key overwrite an earlier one, and turns ``no`` into a boolean; here keys may
not repeat, dates stay text, and the text of each scalar is kept beside its value. Only the safe tags
exist, and files that expand without bound (anchors inside anchors) are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from synth.errors import UserError

Place = tuple[str | int, ...]  # keys and list indices from the root

MAX_BYTES = 4 << 20
MAX_NODES = 200_000


class _Loader(yaml.SafeLoader):
    """Safe tags only; timestamps stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Document:
    """A parsed YAML file. ``data`` is plain Python; ``line`` and ``text`` answer for any place in it."""

    path: Path
    data: Any
    lines: dict[Place, int]
    texts: dict[Place, str]

    def line(self, place: Place) -> int:
        """Line (1-based) of a place, or of the nearest enclosing one that exists."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def where(self, place: Place) -> str:
        """``file:line`` of a place."""
        return f"{self.path}:{self.line(place)}"

    def text(self, place: Place) -> str | None:
        """The scalar at a place as it was written (``"0.10"``, ``"no"``), ``None`` if it is not a scalar."""
        return self.texts.get(place)


def read(path: Path) -> bytes:
    """The bytes of a contract file; a :class:`UserError` says why there are none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError("there is no such contract", where=str(path),
                        todo="`synth init DATA --name NAME` drafts one") from None
    except OSError:
        raise UserError("the contract cannot be read", where=str(path),
                        todo="give the path of a readable YAML file") from None


def parse(content: bytes, path: Path) -> Document:
    """Parse a YAML mapping; a :class:`UserError` names ``path`` and line of what is wrong with it."""
    if len(content) > MAX_BYTES:
        raise UserError(f"the contract is larger than {MAX_BYTES >> 20} MB", where=str(path),
                        todo="give the contract, not the data")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError("the contract is not UTF-8 text", where=str(path), todo="save it as UTF-8") from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"the contract is not valid YAML: {error.problem or 'unreadable'}", where=f"{path}:{line}",
                        todo="check indentation, colons and quotes on this line and the one before") from None
    except (yaml.YAMLError, RecursionError):
        raise UserError("the contract is not valid YAML", where=str(path),
                        todo="check it for control characters and for nesting without end") from None
    if not isinstance(node, yaml.MappingNode):
        raise UserError("the contract is not a YAML mapping", where=f"{path}:1",
                        todo="start from `synth init DATA --name NAME`")
    builder = _Builder(loader, path)
    return Document(path=path, data=builder.plain(node, ()), lines=builder.lines, texts=builder.texts)


class _Builder:
    """Turns YAML nodes into plain data and writes down lines and texts on the way."""

    def __init__(self, loader: _Loader, path: Path) -> None:
        self.loader, self.path = loader, path
        self.lines: dict[Place, int] = {}
        self.texts: dict[Place, str] = {}
        self.open: set[int] = set()

    def plain(self, node: yaml.Node, place: Place) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        if len(self.lines) > MAX_NODES or id(node) in self.open:
            raise UserError("the contract expands without bound", where=f"{self.path}:{line}",
                            todo="write anchors and aliases out")
        if isinstance(node, yaml.ScalarNode):
            self.texts[place] = node.value
            try:
                return self.loader.construct_object(node)
            except (yaml.YAMLError, ValueError):
                raise UserError(f"this value has a tag that contracts do not use ({node.tag})",
                                where=f"{self.path}:{line}", todo="write plain text, numbers, true or false") from None
        self.open.add(id(node))
        result: Any
        if isinstance(node, yaml.SequenceNode):
            result = [self.plain(item, (*place, i)) for i, item in enumerate(node.value)]
        else:
            assert isinstance(node, yaml.MappingNode)
            result = self._mapping(node, place)
        self.open.discard(id(node))
        return result

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                raise UserError("a key must be plain text", where=f"{self.path}:{line}",
                                todo="write the keys out; merge keys (<<) are not used in contracts")
            key = key_node.value
            if key in result:
                raise UserError(f"the key {key!r} stands twice in one mapping", where=f"{self.path}:{line}",
                                todo=f"keep one of them (the other is on line {self.lines[(*place, key)]})")
            self.lines[(*place, key)] = line
            result[key] = self.plain(value_node, (*place, key))
        return result
