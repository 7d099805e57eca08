"""Images in the report: a picture and nothing else gets in, everything else stays out."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from validators.report import tiles
from validators.report.disclosure import disclosure_check, plain


def png(height: int = 16, width: int = 48, *, text: str = "", after: bytes = b"") -> str:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (height, width), dtype=np.uint8))
    out, info = io.BytesIO(), PngImagePlugin.PngInfo()
    if text:
        info.add_text("Comment", text)
    picture.save(out, "PNG", pnginfo=info)
    return base64.b64encode(out.getvalue() + after).decode()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_picture_is_let_in_with_its_size() -> None:
    assert tiles.size(png(16, 48)) == (48, 16)


@pytest.mark.parametrize("item", [
    png(text="Jane Roe"), png(after=b"Jane Roe"), png(600, 20), png(20, 1100), "no base64!", None, 7, "",
    base64.b64encode(b"GIF89a....").decode(),
    base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">II", 4, 4))).decode(),
    base64.b64encode(base64.b64decode(png())[:-20]).decode(), "A" * 300_000,
], ids=["text chunk", "data behind the end", "too tall", "too wide", "no base64", "nothing", "a number", "empty",
        "another format", "short header", "truncated", "too large"])
def test_anything_else_is_not(item: object) -> None:
    assert tiles.size(item) is None
    assert tiles.clean({"title": "t", "items": [{"label": "a", "png": item}]})["items"] == []
    assert tiles.problems({"kind": "images", "title": "t", "items": [{"label": "a", "png": item}]})


def test_what_is_beside_the_picture_does_not_get_into_the_report() -> None:
    picture = {"kind": "images", "title": "t", "items": [{"label": "a", "png": png(), "file": "roe.dcm"}], "real": 1}
    report = plain({"gates": [{"pictures": [picture]}]})
    assert "roe.dcm" not in str(report) and "real" not in str(report)
    assert disclosure_check(report, 10) == []
    assert disclosure_check({"gates": [{"pictures": [picture]}]}, 10)


def test_the_page_shows_it_with_words_for_those_who_cannot_see_it() -> None:
    from tests.validators.report.example import report as example
    from validators.report import render

    report = example()
    picture = {"kind": "images", "title": "Synthetic <images>", "items": [{"label": "ring & nodule", "png": png()}]}
    report["gates"][0]["findings"][0]["pictures"] = [picture]
    page = render(report)
    assert f'src="data:image/png;base64,{picture["items"][0]["png"]}"' in page
    assert 'alt="Synthetic images: ring &amp; nodule"' in page and "Synthetic &lt;images&gt;" in page
