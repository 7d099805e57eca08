"""How conditions on sampled rows are written. Imports nothing: the command line's help shows it."""

from __future__ import annotations

GRAMMAR = """\
One condition a --where; several must all hold.
Values are written as the table prints them.
  COLUMN=VALUE            exactly this number, date or label
  COLUMN=A|B|C            one of these labels
  COLUMN>=V  COLUMN<=V    at least, at most (numbers and dates; also > and <)
  COLUMN=                 the cell is missing (also: COLUMN is missing)
  COLUMN is not missing   the cell is filled"""
