"""Numeric columns: value, printed precision, and everything that is not a number."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.contract.model import Column
from synth.errors import UserError
from synth.tabular.readers.base import Reader, cells, is_text
from synth.tabular.schema import ColumnSchema

EXACT = 2.0**53  # integers beyond are not exact in float64
MAX_DECIMALS = 12  # more digits than this are full precision, not a way of printing


class NumberReader(Reader):
    """Integers, decimals and floats, from text or from numeric types."""

    spool = pa.float64()

    def __init__(self, column: Column, *, place: str, typed: bool) -> None:
        super().__init__(column, place=place, typed=typed)
        self.integer = True
        self.decimals: int | None = 0
        self.text = False
        self.codes = _numbers(column.missing_codes)

    def read(self, array: pa.Array) -> pa.Array:
        self._unreadable_now = 0
        kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
        if is_text(array.type):
            self.text = True
            values = self._parse(pc.utf8_trim_whitespace(self._text(array)))
        elif pa.types.is_null(kind):
            values = array.cast(pa.float64())
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
            values = self._typed(array)
        else:
            self.wrong_type = str(kind)
            values = pa.nulls(len(array), pa.float64())
        if self.codes and values.null_count < len(values):
            hit = pc.is_in(values, value_set=pa.array(self.codes, pa.float64()))
            values = pc.if_else(hit, pa.scalar(None, pa.float64()), values)
        self._bounds(values)
        return self._done(values)

    def _parse(self, text: pa.Array) -> pa.Array:
        try:
            values = pc.cast(text, pa.float64())
        except pa.ArrowInvalid:  # some cell is not a number: find which, without the message
            form = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[iI][nN][fF]([iI][nN][iI][tT][yY])?)$"
            good = pc.match_substring_regex(text, form)
            bad = pc.invert(good)
            self._count("text", bad)
            self._unreadable_now = pc.sum(bad).as_py() or 0
            text = pc.if_else(good, text, pa.scalar(None, pa.string()))
            values = pc.cast(text, pa.float64())
        self._count("text", pc.is_nan(values))  # the word "nan", which only the contract can call missing
        self._count("padded", pc.match_substring_regex(text, r"^[+-]?0\d"))
        point = pc.find_substring(text, ".")
        self.integer &= not pc.any(pc.greater_equal(point, 0)).as_py() and self._whole(values)
        if self.decimals is not None:
            if not self.integer and pc.any(pc.match_substring(text, "e", ignore_case=True)).as_py():
                self.decimals = None  # exponents: printed with full precision
            else:
                digits = pc.subtract(pc.subtract(pc.binary_length(text), point), 1)
                most = pc.max(pc.if_else(pc.greater_equal(point, 0), digits, 0)).as_py() or 0
                self._at_least(most)
        return self._finite(values)

    def _typed(self, array: pa.Array) -> pa.Array:
        if pa.types.is_decimal(array.type):
            self.integer &= array.type.scale <= 0
            self._at_least(max(array.type.scale, 0))
            return self._finite(array.cast(pa.float64(), safe=False))
        if pa.types.is_integer(array.type):
            return self._finite(array.cast(pa.float64(), safe=False))
        self.integer = False
        if array.type.bit_width < 64:  # the decimal number that was meant, without the noise of 32 bits
            array = array.cast(pa.float32()).cast(pa.string())
        numbers = array.cast(pa.float64())
        values = self._finite(pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers))
        self._printed(values.drop_null().to_numpy())
        return values

    def _printed(self, values: np.ndarray) -> None:
        """Raise ``decimals`` to the smallest number of digits that gives every value back."""
        while self.decimals is not None and len(values):
            values = values[np.round(values, self.decimals) != values]
            if len(values):
                self._at_least(self.decimals + 1)

    def _at_least(self, decimals: int) -> None:
        if self.decimals is not None and decimals > self.decimals:
            self.decimals = decimals if decimals <= MAX_DECIMALS else None

    def _whole(self, values: pa.Array) -> bool:
        return bool(pc.all(pc.equal(pc.floor(values), values), min_count=0).as_py())

    def _finite(self, values: pa.Array) -> pa.Array:
        wrong = pc.invert(pc.is_finite(values))
        self._count("infinite", pc.is_inf(values))
        self._unreadable_now += pc.sum(wrong).as_py() or 0
        values = pc.if_else(wrong, pa.scalar(None, pa.float64()), values)
        if self.integer:
            self._count("huge", pc.greater(pc.abs(values), EXACT))
        return values

    def _bounds(self, values: pa.Array) -> None:
        low, high = self.column.minimum, self.column.maximum
        if low is not None:
            self._count("outside", pc.less(values, float(low)))
        if high is not None:
            self._count("outside", pc.greater(values, float(high)))

    def _problems(self) -> list[UserError]:
        if self.wrong_type:
            return [self._problem(f"is numeric in the contract but {self.wrong_type} in the data",
                                  "correct its role, or convert it at the source")]
        found = []
        remedies = {
            "text": ("hold text in a numeric column",
                     "list such words in `synthesis.missingCodes` if they mean missing (thousands separators and units "
                     "are not read), or change the role"),
            "infinite": ("are infinite", "replace them at the source, or list the word in `synthesis.missingCodes`"),
            "padded": ("are numbers with leading zeros",
                       "these are codes: give the column role categorical or identifier"),
            "huge": ("are integers beyond 2^53", "such numbers are names: give the column role identifier"),
            "outside": ("lie outside the declared bounds",
                        "correct the bounds, the data, or list a code such as -999 in `synthesis.missingCodes`"),
        }
        for kind, (what, todo) in remedies.items():
            if number := self.counts.get(kind, 0):
                found.append(self._problem(f": {cells(number)} of {self.cells} {what}", todo))
        return found

    def schema(self) -> ColumnSchema:
        decimals = self.column.decimals if self.column.decimals is not None else self.decimals
        integer = self.integer or self.column.decimals == 0
        return ColumnSchema(
            name=self.column.name, role=self.column.role, nullable=self.nullable, integer=integer,
            decimals=0 if integer else decimals, text=self.text and self.typed,
            minimum=None if self.column.minimum is None else float(self.column.minimum),
            maximum=None if self.column.maximum is None else float(self.column.maximum))


def _numbers(texts: tuple[str, ...]) -> list[float]:
    """The missing codes that are numbers: ``-999`` is missing however it is printed."""
    numbers = []
    for text in texts:
        try:
            numbers.append(float(text))
        except ValueError:
            continue
    return [n for n in numbers if np.isfinite(n)]
