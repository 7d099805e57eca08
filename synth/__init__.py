"""Private data in, a gated and signed synthetic release out.

For teams that use releases::

    import synth
    folder = synth.pull("cps", store="s3://bucket/releases", to="data")   # verified before you get the path
    synth.verify(folder)
    synth.list_releases("s3://bucket/releases")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.release.pull import list_releases, pull, verify

    __version__: str

__all__ = ["__version__", "guard", "list_releases", "pull", "verify"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("synth-pipeline")
        except PackageNotFoundError:  # run from a checkout that was not installed
            return "0+unknown"
    if name in ("pull", "verify", "list_releases"):
        import importlib

        return getattr(importlib.import_module("synth.release.pull"), name)
    raise AttributeError(f"module 'synth' has no attribute {name!r}")


def guard() -> None:
    """Raise a :class:`~synth.errors.UserError` if ``import validators`` would find another project's package.

    A package of that name is on PyPI. Beside an editable install of ours it takes our place, and in one folder with
    ours it overwrites a file of it; Python and pip are content either way. Costs a look into one folder.
    """
    import importlib.util
    from pathlib import Path

    from synth.errors import UserError

    root = Path(__file__).resolve().parents[1]
    spec = importlib.util.find_spec("validators")
    found = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
    if found == root / "validators" and not list(root.glob("validators-*.dist-info")):
        return
    what = "another package called `validators` hides ours" if found else "our package `validators` is missing"
    raise UserError(what, where=str(found or root),
                    todo="pip uninstall validators, then install synth-pipeline again in an environment of its own")
