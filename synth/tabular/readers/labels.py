"""Columns of labels: categories, ordered categories and booleans."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.contract.model import Column, Role
from synth.errors import UserError
from synth.tabular.readers.base import Reader, is_text
from synth.tabular.schema import ColumnSchema

MAX_LABELS = 500_000  # more different labels than this are not a category
MAX_LENGTH = 1_000  # characters of a label
_PROSE_LENGTH = 40  # mean characters above which labels that hardly repeat are taken for free text

# Words for (false, true); a column is boolean if all its words are one pair, in any one casing.
PAIRS = (("false", "true"), ("f", "t"), ("no", "yes"), ("n", "y"), ("0", "1"), ("off", "on"), ("nein", "ja"),
         ("non", "oui"), ("falsch", "wahr"), ("faux", "vrai"))


class LabelReader(Reader):
    """Codes of distinct texts in order of appearance; ``labels[code]`` is the text."""

    spool = pa.int32()

    def __init__(self, column: Column, *, place: str, typed: bool) -> None:
        super().__init__(column, place=place, typed=typed)
        self.codes: dict[str, int] = {}
        self.kinds: set[str] = set()
        self.length = 0  # characters of all different labels
        self.rows: int = 0

    @property
    def labels(self) -> list[str]:
        """Distinct labels, by code."""
        return list(self.codes)

    def read(self, array: pa.Array) -> pa.Array:
        self._unreadable_now = 0
        encoded = self._text(self._as_text(array)).dictionary_encode()
        words = encoded.dictionary
        self._count("long", pc.greater(pc.utf8_length(words), MAX_LENGTH))
        mapping = np.empty(len(words), np.int32)
        for i, word in enumerate(words.to_pylist()):
            code = self.codes.get(word)
            if code is None:
                if len(self.codes) >= MAX_LABELS or len(word) > MAX_LENGTH:
                    self._count("dropped", 1)
                    code = -1
                else:
                    code = self.codes[word] = len(self.codes)
                    self.length += len(word)
            mapping[i] = code
        indices = encoded.indices
        result = pa.array(mapping, pa.int32()).take(indices) if len(words) else pa.nulls(len(indices), pa.int32())
        self.rows += len(result) - result.null_count
        return self._done(result)

    def _as_text(self, array: pa.Array) -> pa.Array:
        kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
        if is_text(kind):
            self.kinds.add("text")
            return array
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_boolean(kind) and self.column.role is Role.BOOLEAN:
            self.kinds.add("boolean")
        elif pa.types.is_integer(kind):
            self.kinds.add("int")
        elif pa.types.is_floating(kind):
            self.kinds.add("float")
            numbers = array.cast(pa.float64())
            array = pc.if_else(pc.is_nan(numbers), pa.scalar(None, array.type), array)
        elif not pa.types.is_null(kind):
            self.wrong_type = str(kind)
            return pa.nulls(len(array), pa.string())
        return array.cast(pa.string())

    def words(self) -> tuple[str, str] | None:
        """Boolean columns: the source's texts for false and true; ``None`` if they are not known."""
        if self.kinds == {"boolean"}:
            return "false", "true"
        if self.column.values is not None:
            return self.column.values[0], self.column.values[1]
        for false, true in PAIRS:
            for style in (str.lower, str.capitalize, str.upper):
                pair = (style(false), style(true))
                if self.codes and set(self.codes) <= set(pair):
                    return pair
        return None

    def _problems(self) -> list[UserError]:
        column, distinct = self.column, len(self.codes)
        if self.wrong_type:
            return [self._problem(f"has type {self.wrong_type} in the data, not one for role {column.role.value!r}",
                                  "correct its role, or convert it at the source")]
        if len(self.kinds) > 1:
            return [self._problem("is of different types in different files", "give all files the same types")]
        if self.counts.get("long"):
            return [self._problem(f"holds texts longer than {MAX_LENGTH} characters: it is free text",
                                  "give it role text with generate: drop")]
        if self.counts.get("dropped"):
            return [self._problem(f"has more than {MAX_LABELS} different labels: it names rows",
                                  "give it role identifier, or role text with generate: drop")]
        if column.role is Role.BOOLEAN:
            if self.codes and (self.words() is None or not set(self.codes) <= set(self.words() or ())):
                return [self._problem(f"is boolean, but its {distinct} different words are not one known pair",
                                      "list the word for false, then the one for true, in `synthesis.values`; words "
                                      "for missing belong in `synthesis.missingCodes`")]
            return []
        if column.values is not None:
            outside = len(set(self.codes) - set(column.values))
            return [self._problem(f"has labels that `synthesis.values` does not list ({outside} of {distinct})",
                                  "complete the list, or list words for missing in `synthesis.missingCodes`; note "
                                  "that blanks and case count")] if outside else []
        found = []
        if column.role is Role.ORDINAL and not all(_is_number(word) for word in self.codes):
            found.append(self._problem("is ordinal, but its labels are not all numbers, so their order is not known",
                                       "list the labels in order in `synthesis.values`"))
        return found

    def names_rows(self, k: int) -> list[UserError]:
        """Whether an open vocabulary names rows or holds prose."""
        distinct = len(self.codes)
        if self.column.role is Role.BOOLEAN or self.column.values is not None or self.rows <= k:
            return []
        if distinct == self.rows:
            return [self._problem("has a different label in every row: it names rows",
                                  "give it role identifier (or text with generate: drop), or role numeric")]
        if distinct > self.rows / 2 and self.length > _PROSE_LENGTH * distinct:
            return [self._problem("looks like free text, which is refused",
                                  "give it role text with generate: drop, or list its labels in `synthesis.values`")]
        return []

    def schema(self) -> ColumnSchema:
        """Everything but vocabulary and folding, which need the number of entities of each label."""
        column = self.column
        true_text = false_text = None
        if column.role is Role.BOOLEAN and "boolean" not in self.kinds:
            false_text, true_text = self.words() or ("false", "true")
        return ColumnSchema(
            name=column.name, role=column.role, nullable=self.nullable, label_type=self.label_type(),
            values=("false", "true") if column.role is Role.BOOLEAN else (),
            true_text=true_text, false_text=false_text)

    def label_type(self) -> str:
        """``"int"`` or ``"float"`` if every label is a number that prints as it was read, else ``"str"``."""
        texts = [*self.codes, *(self.column.values or ())]
        if self.kinds == {"text"} and self.typed:
            return "str"
        if texts and all(_prints_as(t, int) for t in texts):
            return "float" if self.kinds == {"float"} else "int"
        if texts and all(_prints_as(t, float) or _prints_as(t, int) for t in texts):
            return "float" if self.kinds == {"float"} or all(_prints_as(t, float) for t in texts) else "str"
        return "str"


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _prints_as(text: str, kind: type) -> bool:
    try:
        value = kind(text)
    except ValueError:
        return False
    return str(value) == text and (kind is float or abs(value) < 2**63)

