"""Arrows point one way: pipelines -> validators -> synth. Read from the syntax, so that nothing has to be imported."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("synth", "validators", "pipelines")
FORBIDDEN = {
    "synth": ("validators", "pipelines", "prefect", "great_expectations"),
    "validators": ("pipelines", "prefect"),
    "pipelines": ("great_expectations", "sklearn"),
}
HEAVY = ("torch", "prefect", "great_expectations", "pandas", "numpy", "sklearn", "pyarrow", "scipy", "faker", "fsspec")
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def broken(room: str, source: str) -> list[str]:
    return sorted({name for name in imports(ast.parse(source))
                   for banned in FORBIDDEN[room] if name == banned or name.startswith(banned + ".")})


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_what_lies_below_it(path):
    room = path.relative_to(ROOT).parts[0]
    assert broken(room, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("room", "source"), [
    ("synth", "import prefect"), ("synth", "def f():\n    from validators.gates import judge"),
    ("validators", "from pipelines import cli"), ("synth", "import great_expectations.core as gx"),
    ("pipelines", "from great_expectations import get_context"),
])
def test_the_layer_test_sees_a_wrong_arrow(room, source):
    assert broken(room, source)


def test_relative_imports_are_not_used():
    """They would slip through the test above."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


def test_great_expectations_stays_in_its_one_module():
    users = {path.relative_to(ROOT).as_posix() for path in FILES
             if any(name.split(".")[0] == "great_expectations" for name in imports(ast.parse(path.read_text())))}
    assert users and all(user.startswith("validators/") for user in users)


def test_prefect_stays_in_the_scheduler_s_modules():
    users = {path.name for path in FILES
             if any(name.split(".")[0] == "prefect" for name in imports(ast.parse(path.read_text())))}
    assert users <= {"flow.py", "serve.py", "server.py"}


def test_no_module_asks_for_a_domain_by_name():
    """A domain is a plug: only the registries may name one."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                words = [c.value for c in [node.left, *node.comparators] if isinstance(c, ast.Constant)]
                assert not {"tabular", "medical", "driving"} & {w for w in words if isinstance(w, str)}, path


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["sample", "--help"],
                                     ["runs", "--workspace", "/nonexistent"]])
def test_the_command_line_starts_without_heavy_modules(command):
    code = ("import sys; sys.argv = ['synth', *sys.argv[1:]]\n"
            "from pipelines.cli import main\n"
            "try:\n    main()\nexcept SystemExit:\n    pass\n"
            f"print('LOADED', *sorted(set({HEAVY!r}) & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code, *command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().splitlines()[-1] == "LOADED", done.stderr


@pytest.mark.parametrize("command", [["--help"], ["sample", "--help"]])
def test_help_answers_at_once(command):
    """Half a second of a processor; the best of several, because the test machine is busy with other things.

    The modules above are the firm half of the promise: a heavy one is noticed on any machine.
    """
    def once() -> float:
        start = os.times()
        subprocess.run([sys.executable, "-m", "pipelines.cli", *command], cwd=ROOT, capture_output=True, check=True)
        end = os.times()
        return end.children_user + end.children_system - start.children_user - start.children_system

    assert any(once() < 0.5 for _ in range(12))
