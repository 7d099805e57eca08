"""XML that may come from anywhere: no document type, no entities, no network, nothing outside the file.

A document type is the only place where entities can be made (and with them "billion laughs"), so a file with one is
refused before anything else is read.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast
from xml.parsers import expat

_BLOCK = 1 << 16
_UNFINISHED = (3, 5, 6)  # of expat: no element found, unclosed token, partial character


class BadXml(Exception):
    """The file is not read; ``reason`` is a code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Seen(Exception):
    """The root element was reached."""


def elements(path: Path, names: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str], Any]]:
    """(name, attributes, element) at the end of each element with one of the names, which is emptied afterwards.

    Raises :class:`BadXml` with ``doctype``, ``truncated`` or ``damaged``.
    """
    from lxml import etree

    with _told(path) as file:
        for _, element in etree.iterparse(file, tag=names, resolve_entities=False, no_network=True, load_dtd=False,
                                          huge_tree=False):
            yield str(element.tag), {str(k): str(v) for k, v in element.attrib.items()}, element
            element.clear()
            while element.getprevious() is not None and element.getparent() is not None:
                del element.getparent()[0]


def tree(path: Path) -> Any:
    """The root of a file that is read as a whole; raises :class:`BadXml`."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
                             remove_comments=True, remove_pis=True)
    with _told(path) as file:
        return etree.parse(file, parser).getroot()


@contextmanager
def _told(path: Path) -> Iterator[IO[bytes]]:
    """A file without a document type; what lxml and the disk say against it becomes :class:`BadXml`."""
    from lxml import etree

    _no_doctype(path)
    try:
        with _opened(path) as file:
            yield file
    except etree.XMLSyntaxError as error:
        ends = (etree.ErrorTypes.ERR_DOCUMENT_END, etree.ErrorTypes.ERR_DOCUMENT_EMPTY,
                etree.ErrorTypes.ERR_TAG_NOT_FINISHED, etree.ErrorTypes.ERR_GT_REQUIRED)
        raise BadXml("truncated" if error.code in ends else "damaged") from None
    except (OSError, EOFError):
        raise BadXml("damaged") from None


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _no_doctype(path: Path) -> None:
    """Parse up to the first element; a document type before it is refused."""
    parser = expat.ParserCreate()

    def doctype(*_: Any) -> None:
        raise BadXml("doctype")

    def root(*_: Any) -> None:
        raise _Seen

    parser.StartDoctypeDeclHandler, parser.StartElementHandler = doctype, root
    try:
        with _opened(path) as file:
            while block := file.read(_BLOCK):
                parser.Parse(block, False)
            parser.Parse(b"", True)
    except _Seen:
        return
    except expat.ExpatError as error:
        raise BadXml("truncated" if error.code in _UNFINISHED else "damaged") from None
    except (OSError, EOFError):
        raise BadXml("damaged") from None
    raise BadXml("truncated")
