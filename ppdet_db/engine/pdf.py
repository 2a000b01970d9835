"""PDF files as pictures: one a page, named `file.pdf#3`."""

import re
from pathlib import Path
from typing import Any

import cv2

from ppdet_db.errors import SampleError

SCALE = 2
"""Pixels a point, of which an inch has 72: small print on paper is then about 20 pixels high."""
LONGEST = 8000
"""Pixels of a page's longer side at most, whatever its size: memory has an end."""

PAGE = re.compile(r"(.+\.pdf)#([1-9]\d*)", re.IGNORECASE)


def is_pdf(file: Path) -> bool:
    return file.suffix.lower() == ".pdf"


def is_page(file: Path) -> bool:
    """Whether a name means a page of a PDF file that is there, not a file of that name."""
    found = PAGE.fullmatch(str(file))
    return found is not None and Path(found[1]).is_file() and not file.is_file()


def pages_of(file: Path) -> list[Path]:
    """`file.pdf#1`, `file.pdf#2`, ...; the file alone where it cannot be opened: reading it will say why."""
    try:
        document = _open(file)
    except SampleError:
        return [file]
    with document:
        return [Path(f"{file}#{number}") for number in range(1, len(document) + 1)]


def read_page(page: Path) -> bytes:
    """A page as a BMP file.

    Args:
        page: `file.pdf#3`.

    Raises:
        SampleError: the file is damaged or locked, it has no such page, or pypdfium2 is not installed.
    """
    found = PAGE.fullmatch(str(page))
    file, number = (Path(found[1]), int(found[2])) if found else (page, 1)
    with _open(file) as document:
        if number > len(document):
            raise SampleError(f"the file has {len(document)} pages")
        try:
            content = document[number - 1]
            scale = min(SCALE, LONGEST / max(content.get_size()))
            return cv2.imencode(".bmp", content.render(scale=scale).to_numpy())[1].tobytes()
        except Exception as error:
            raise SampleError(f"the page cannot be drawn: {error}") from error


def _open(file: Path) -> Any:
    try:
        import pypdfium2
    except ImportError as error:
        raise SampleError('reading PDF needs pypdfium2. Run: pip install "ppdet_db[pdf]"') from error
    try:
        return pypdfium2.PdfDocument(file)
    except (pypdfium2.PdfiumError, OSError) as error:
        raise SampleError(f"the PDF file cannot be read: {error}") from error
