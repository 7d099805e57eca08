"""Dates and times: value, unit, zone, and the format they were printed in."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synth.contract.model import Column
from synth.errors import UserError
from synth.tabular.readers.base import Reader, cells, is_text
from synth.tabular.schema import ColumnSchema

MICROSECONDS = {"D": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 to 9999, which every calendar prints
_ZONE = r"(Z|[+-]\d{2}:?\d{2})$"
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_MOMENT = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}([.]\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?$"


class DateReader(Reader):
    """Dates from date and timestamp types, ISO 8601 text, or text in the contract's format."""

    spool = pa.int64()

    def __init__(self, column: Column, *, place: str, typed: bool) -> None:
        super().__init__(column, place=place, typed=typed)
        self.unit = "D"
        self.zones: set[str | None] = set()
        self.shapes: set[str] = set()  # of text cells: which parts they print
        self.text = False
        self.codes = [int(m) for c in column.missing_codes if (m := moment(c)) is not None]

    def read(self, array: pa.Array) -> pa.Array:
        self._unreadable_now = 0
        if pa.types.is_dictionary(array.type) and not is_text(array.type):
            array = array.dictionary_decode()
        kind = array.type
        if is_text(kind):
            self.text = True
            text = pc.utf8_trim_whitespace(self._text(array))
            values = self._formatted(text) if self.column.datetime_format else self._iso(text)
        elif pa.types.is_timestamp(kind):
            self._note_unit(array)
            self.zones.add(kind.tz)
            values = array.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
        elif pa.types.is_date(kind):
            self.zones.add(None)
            values = array.cast(pa.timestamp("us")).cast(pa.int64())
        elif pa.types.is_null(kind):
            values = array.cast(pa.int64())
        else:
            self.wrong_type = str(kind)
            values = pa.nulls(len(array), pa.int64())
        if self.codes:
            hit = pc.is_in(values, value_set=pa.array(self.codes, pa.int64()))
            values = pc.if_else(hit, pa.scalar(None, pa.int64()), values)
        self._count("calendar", pc.or_(pc.less(values, _FIRST), pc.greater(values, _LAST)))
        low, high = self._limits()
        if low is not None:
            self._count("outside", pc.less(values, low))
        if high is not None:
            self._count("outside", pc.greater(values, high))
        return self._done(values)

    def _note_unit(self, array: pa.Array) -> None:
        """A timestamp is at least to the second; finer only where a cell needs it."""
        raw = array.cast(pa.int64())
        per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[array.type.unit]
        self._finer("s")
        for unit, step in (("ms", per_second), ("us", per_second // 1_000)):
            if step > 1 and pc.any(pc.not_equal(pc.multiply(pc.divide(raw, step), step), raw)).as_py():
                self._finer(unit)

    def _finer(self, unit: str) -> None:
        if MICROSECONDS[unit] < MICROSECONDS[self.unit]:
            self.unit = unit

    def _iso(self, text: pa.Array) -> pa.Array:
        dates = pc.match_substring_regex(text, _DATE)
        moments = pc.match_substring_regex(text, _MOMENT)
        bad = pc.invert(pc.or_(dates, moments))
        text = pc.if_else(bad, pa.scalar(None, pa.string()), text)
        zoned = pc.and_(moments, pc.match_substring_regex(text, _ZONE))
        result = pa.nulls(len(text), pa.int64())
        for mask, zone in ((pc.and_not(pc.or_(dates, moments), zoned), None), (zoned, "UTC")):
            part = pc.if_else(mask, text, pa.scalar(None, pa.string()))
            if part.null_count < len(part):
                self._shape(part, zone is not None)
                result = pc.coalesce(result, self._cast(part, zone))
        lost = pc.and_(pc.is_null(result), pc.is_valid(text))  # e.g. the 31st of February
        self._count("form", bad)
        self._count("form", lost)
        self._unreadable_now = (pc.sum(bad).as_py() or 0) + (pc.sum(lost).as_py() or 0)
        return result

    def _cast(self, text: pa.Array, zone: str | None) -> pa.Array:
        kind = pa.timestamp("us", zone)
        try:
            return pc.cast(text, kind).cast(pa.int64())
        except pa.ArrowInvalid:  # a day that does not exist; which one is found cell by cell
            words = text.dictionary_encode()
            values = [moment(w) for w in words.dictionary.to_pylist()]
            return pa.array(values, pa.int64()).take(words.indices)

    def _shape(self, text: pa.Array, zoned: bool) -> None:
        """Which parts the texts print: separator, seconds, digits of the fraction; and their zones."""
        offsets: set[str | None] = {None}
        if zoned:
            offsets = set(pc.unique(pc.replace_substring_regex(text.drop_null(), f"^.*?{_ZONE}", r"\1")).to_pylist())
            text = pc.replace_substring_regex(text, _ZONE, "")
        self.zones |= {"UTC" if z in ("Z", "+00:00", "+0000", "-00:00") else z for z in offsets}
        form = pc.replace_substring_regex(pc.utf8_slice_codeunits(text, 10), r"\d", "0")
        for shape in pc.unique(form.drop_null()).to_pylist():
            self.shapes.add(shape.split(".")[0])
            digits = len(shape.partition(".")[2])
            self._finer("D" if not shape else "s" if not digits else "ms" if digits <= 3 else "us")

    def _formatted(self, text: pa.Array) -> pa.Array:
        form = self.column.datetime_format or ""
        encoded = text.dictionary_encode()
        words = pd.Series(encoded.dictionary.to_pylist(), dtype="str")
        parsed = pd.to_datetime(words, format=form, errors="coerce", utc="%z" in form, exact=True)
        micro = parsed.astype("datetime64[us, UTC]" if "%z" in form else "datetime64[us]")
        values = pa.array(micro.to_numpy("datetime64[us]").astype("int64"), pa.int64(), mask=parsed.isna().to_numpy())
        result = values.take(encoded.indices)
        lost = pc.and_(pc.is_null(result), pc.is_valid(text))
        self._count("form", lost)
        self._unreadable_now = pc.sum(lost).as_py() or 0
        self.zones.add("UTC" if "%z" in form else None)
        fine = pc.any(pc.not_equal(pc.multiply(pc.divide(values, 1000), 1000), values)).as_py()
        timed = any(part in form for part in ("%H", "%I", "%M", "%S", "%T"))
        self._finer(("us" if fine else "ms") if "%f" in form else "s" if timed else "D")
        return result

    def _limits(self) -> tuple[int | None, int | None]:
        """Declared bounds in microseconds; a maximum given as a day includes that day."""
        low, high = self.column.minimum, self.column.maximum
        last = moment(str(high)) if high is not None else None
        if last is not None and len(str(high)) <= 10:
            last += MICROSECONDS["D"] - 1
        return (moment(str(low)) if low is not None else None), last

    def _problems(self) -> list[UserError]:
        if self.wrong_type:
            return [self._problem(f"is a datetime in the contract but {self.wrong_type} in the data",
                                  "correct its role, or convert it at the source")]
        found = []
        form = "the contract's format" if self.column.datetime_format else "ISO 8601 dates"
        remedies = {
            "form": (f"are not {form}", "set `logicalTypeOptions.format`, e.g. dd/MM/yyyy; list words for missing in "
                     "`synthesis.missingCodes`"),
            "calendar": ("lie outside the years 1 to 9999", "correct them at the source, or list the code for missing"),
            "outside": ("lie outside the declared bounds",
                        "correct the bounds, the data, or list a date that means missing in `synthesis.missingCodes`"),
        }
        for kind, (what, todo) in remedies.items():
            if number := self.counts.get(kind, 0):
                found.append(self._problem(f": {cells(number)} of {self.cells} {what}", todo))
        if len(self.shapes) > 1:
            found.append(self._problem(f"prints its dates in {len(self.shapes)} different ways",
                                       "print them all in one way at the source"))
        if None in self.zones and len(self.zones) > 1:
            found.append(self._problem("mixes times with and without a zone", "give all of them a zone, or none"))
        return found

    def zone(self) -> str | None:
        """The zone all cells share; UTC if they have several."""
        zones = self.zones - {None}
        if len(zones) == 1:
            zone = next(iter(zones)) or "UTC"
            return f"{zone[:3]}:{zone[3:]}" if len(zone) == 5 and zone[0] in "+-" else zone
        return "UTC" if zones else None

    def schema(self) -> ColumnSchema:
        step = MICROSECONDS[self.unit]
        low, high = self._limits()
        text = self.text and (self.typed or self.column.datetime_format is not None)
        return ColumnSchema(
            name=self.column.name, role=self.column.role, nullable=self.nullable, integer=True, decimals=0,
            unit=self.unit, zone=self.zone(), text=text, format=self._format() if text else None,
            minimum=None if low is None else float(-(-low // step)),
            maximum=None if high is None else float(high // step))

    def _format(self) -> str | None:
        """strptime format of texts that go out as text; ``None`` for what ``isoformat`` prints anyway."""
        if self.column.datetime_format is not None:
            return self.column.datetime_format
        shape = next(iter(self.shapes), "")
        if shape in ("", "T00:00:00") and self.unit in ("D", "s"):
            return None
        form = "%Y-%m-%d" + shape[:1]
        form += ("%H:%M" if shape.count(":") == 1 else "%H:%M:%S") if shape else ""
        return form + (".%f" if self.unit in ("ms", "us") else "") + ("%z" if self.zone() else "")


def moment(text: str) -> int | None:
    """Microseconds since 1970 (UTC if there is a zone) of an ISO 8601 text; ``None`` if it is none."""
    try:
        when = datetime.fromisoformat(text.strip())
    except (ValueError, AttributeError):
        return None
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    delta = when - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def to_unit(values: np.ndarray, unit: str) -> np.ndarray:
    """Microseconds (float64 with NaN, or int64) -> counts of ``unit``, rounded down."""
    return np.floor(values / MICROSECONDS[unit])
