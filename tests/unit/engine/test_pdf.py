"""PDF files as pictures: pages, their size, and files that are damaged, locked or not to be read here."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ppdet_db.engine.pdf import LONGEST, SCALE, is_page, is_pdf, pages_of, read_page
from ppdet_db.errors import SampleError

pdfium = pytest.importorskip("pypdfium2")


def write_pdf(file: Path, *sizes: tuple[float, float]) -> Path:
    """Empty pages of these sizes in points."""
    document = pdfium.PdfDocument.new()
    for size in sizes:
        document.new_page(*size)
    document.save(str(file))
    document.close()
    return file


def test_a_file_stands_for_its_pages(tmp_path: Path) -> None:
    file = write_pdf(tmp_path / "a b.PDF", (100, 50), (60, 200))
    assert is_pdf(file)
    pages = pages_of(file)
    assert pages == [Path(f"{file}#1"), Path(f"{file}#2")]
    assert all(map(is_page, pages))
    shapes = [cv2.imdecode(np.frombuffer(read_page(page), np.uint8), cv2.IMREAD_COLOR).shape for page in pages]
    assert shapes == [(50 * SCALE, 100 * SCALE, 3), (200 * SCALE, 60 * SCALE, 3)]


def test_what_is_drawn_is_the_page(tmp_path: Path) -> None:
    from PIL import Image

    picture = np.full((60, 100, 3), (200, 30, 10), np.uint8)
    picture[:30] = 255
    Image.fromarray(picture).save(tmp_path / "a.pdf", resolution=72.0)
    drawn = cv2.imdecode(np.frombuffer(read_page(tmp_path / "a.pdf#1"), np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape == (60 * SCALE, 100 * SCALE, 3)
    assert np.abs(drawn[45 * SCALE, 50 * SCALE].astype(int) - (10, 30, 200)).max() < 16, "BGR, right side up"
    assert drawn[10 * SCALE, 50 * SCALE].min() > 240


def test_a_huge_page_is_drawn_smaller(tmp_path: Path) -> None:
    page = pages_of(write_pdf(tmp_path / "a.pdf", (14000, 700)))[0]
    height, width, _ = cv2.imdecode(np.frombuffer(read_page(page), np.uint8), cv2.IMREAD_COLOR).shape
    assert width == LONGEST
    assert abs(height - LONGEST / 20) <= 1


def test_a_picture_of_such_a_name_is_a_picture(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf", (10, 10))
    assert is_page(tmp_path / "a.pdf#1")
    (tmp_path / "a.pdf#1").write_bytes(b"jpg")
    assert not is_page(tmp_path / "a.pdf#1")
    assert not is_page(tmp_path / "b.pdf#1")
    assert not is_page(tmp_path / "a.pdf#0")


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "damaged.pdf"
    damaged.write_bytes(b"%PDF-1.4 and nothing more")
    assert pages_of(damaged) == [damaged]
    with pytest.raises(SampleError, match="the PDF file cannot be read: Failed to load document"):
        read_page(damaged)
    with pytest.raises(SampleError, match="the PDF file cannot be read: "):
        read_page(tmp_path / "none.pdf#1")
    file = write_pdf(tmp_path / "a.pdf", (10, 10))
    with pytest.raises(SampleError, match="the file has 1 pages"):
        read_page(Path(f"{file}#2"))
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    assert pages_of(file) == [file]
    with pytest.raises(SampleError) as caught:
        read_page(file)
    assert str(caught.value) == 'reading PDF needs pypdfium2. Run: pip install "ppdet_db[pdf]"'
