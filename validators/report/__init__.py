"""The report of a run: facts (:func:`build`), their check (:func:`disclosure_check`), their page (:func:`render`).

``report.json`` is what :func:`build` returns and ``report.html`` is a pure function of it, so the two can
never disagree.
"""

from validators.report.build import SCHEMA_VERSION, build
from validators.report.disclosure import disclosure_check
from validators.report.render import render

__all__ = ["SCHEMA_VERSION", "build", "disclosure_check", "render"]
