"""The faces that text is rendered with: DejaVu and STIX of Matplotlib, and families of font packages where installed.

The packages carry free fonts: the `synthetic` extra of this project, licences in docs/data.md. Which are there changes
the pictures.
"""

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

from ppdet_db.data.synthetic.text import COMMONNESS, alphabet
from ppdet_db.errors import ConfigError

INK = 32
"""Coverage (of 255) from which a pixel counts as ink: less is the faint rim of antialiasing."""

REGULAR, BOLD = {"wght": 400}, {"wght": 700}
MATPLOTLIB = "mpl-data/fonts/ttf/"
FACES = (
    # style, package, file in it, position on the axes of a variable font (the others stay at their default)
    ("sans", "matplotlib", MATPLOTLIB + "DejaVuSans.ttf", None),
    ("sans", "matplotlib", MATPLOTLIB + "DejaVuSans-Bold.ttf", None),
    ("mono", "matplotlib", MATPLOTLIB + "DejaVuSansMono.ttf", None),
    ("mono", "matplotlib", MATPLOTLIB + "DejaVuSansMono-Bold.ttf", None),
    ("serif", "matplotlib", MATPLOTLIB + "DejaVuSerif.ttf", None),
    ("serif", "matplotlib", MATPLOTLIB + "STIXGeneral.ttf", None),
    ("serif", "matplotlib", MATPLOTLIB + "STIXGeneralBol.ttf", None),
    ("sans", "fontpkg_roboto", "files/Roboto[wdth,wght].ttf", REGULAR),
    ("sans", "fontpkg_roboto", "files/Roboto[wdth,wght].ttf", BOLD),
    ("sans", "fontpkg_open_sans", "files/OpenSans[wdth,wght].ttf", REGULAR),
    ("sans", "fontpkg_open_sans", "files/OpenSans[wdth,wght].ttf", BOLD),
    ("sans", "fontpkg_noto_sans", "files/NotoSans[wdth,wght].ttf", {"wght": 500}),
    ("narrow", "fontpkg_noto_sans", "files/NotoSans[wdth,wght].ttf", {"wght": 400, "wdth": 62.5}),
    ("narrow", "fontpkg_pt_sans_narrow", "files/PT_Sans-Narrow-Web-Regular.ttf", None),
    ("narrow", "fontpkg_pt_sans_narrow", "files/PT_Sans-Narrow-Web-Bold.ttf", None),
    ("narrow", "fontpkg_oswald", "files/Oswald[wght].ttf", {"wght": 500}),
    ("serif", "fontpkg_source_serif_4", "files/SourceSerif4[opsz,wght].ttf", REGULAR),
    ("serif", "fontpkg_playfair_display", "files/PlayfairDisplay[wght].ttf", {"wght": 600}),
    ("mono", "fontpkg_inconsolata", "files/Inconsolata[wdth,wght].ttf", {"wght": 500, "wdth": 100}),
    ("mono", "fontpkg_inconsolata", "files/Inconsolata[wdth,wght].ttf", {"wght": 600, "wdth": 80}),
    ("mono", "fontpkg_roboto_mono", "files/RobotoMono[wght].ttf", REGULAR),
    ("mono", "fontpkg_space_mono", "files/SpaceMono-Regular.ttf", None),
    ("display", "fontpkg_lobster", "files/Lobster-Regular.ttf", None),
    ("hand", "fontpkg_indie_flower", "files/IndieFlower-Regular.ttf", None),
    ("hand", "fontpkg_permanent_marker", "files/PermanentMarker-Regular.ttf", None),
    ("sans", "cvttf_NotoSansCJK_Regular", "NotoSansCJKtc-Regular.otf", None),
)


@dataclass(frozen=True)
class Face:
    """One font file at one weight and width.

    Args:
        style: sans, serif, mono, narrow, hand or display.
        path: the file.
        axes: values of a variable font's axes in the order of the file; empty for a static font.
    """

    style: str
    path: str
    axes: tuple[float, ...] = ()


@lru_cache(maxsize=1)
def faces() -> tuple[Face, ...]:
    """The faces of FACES whose package is installed. Raises ConfigError when there is none at all."""
    found = []
    for style, package, file, position in FACES:
        path = _package_file(package, file)
        if path is not None:
            found.append(Face(style, str(path), _axes(path, position) if position else ()))
    if not found:
        raise ConfigError(
            "no fonts to draw text with: install matplotlib, which carries DejaVu (pip install matplotlib)"
        )
    return tuple(found)


def _package_file(package: str, file: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((Path(folder) / file for folder in folders if (Path(folder) / file).is_file()), None)


def _axes(path: Path, position: dict[str, float]) -> tuple[float, ...]:
    with TTFont(path, lazy=True) as font:
        return tuple(float(position.get(axis.axisTag, axis.defaultValue)) for axis in font["fvar"].axes)


@lru_cache(maxsize=64)
def _characters(path: str) -> frozenset[str]:
    with TTFont(path, lazy=True) as font:
        return frozenset(map(chr, font.getBestCmap()))


@lru_cache(maxsize=256)
def faces_for(language: str, styles: tuple[str, ...] = ()) -> tuple[Face, ...]:
    """The faces that have every character of a language, of the wanted styles where some have it, else of any.

    Empty when no installed face can write the language.
    """
    able = tuple(face for face in faces() if alphabet(language) <= _characters(face.path))
    return tuple(face for face in able if face.style in styles) or able


def installed_languages() -> dict[str, float]:
    """How common each language is, of those that some installed face can write."""
    return {language: weight for language, weight in COMMONNESS.items() if faces_for(language)}


@lru_cache(maxsize=256)
def _font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    # BASIC: the shaping library that the other engine needs is not in every build of Pillow
    font = ImageFont.truetype(face.path, size, layout_engine=ImageFont.Layout.BASIC)
    if face.axes:
        font.set_variation_by_axes(list(face.axes))
    return font


def text_width(text: str, face: Face, size: int) -> float:
    """Advance width in pixels."""
    return _font(face, size).getlength(text)


def render(text: str, face: Face, size: int) -> tuple[np.ndarray, int]:
    """One line of text.

    Args:
        size: of the font (em), in pixels.

    Returns:
        Ink (h, w), uint8, 255 where it covers the pixel, cut to the ink (0 x 0 for blanks); and how far its upper
        edge lies below the top of the font's ascent.
    """
    font = _font(face, size)
    left, top, right, bottom = font.getbbox(text)
    width, height = int(right - left) + 2, int(bottom - top) + 2
    picture = Image.new("L", (width, height))
    ImageDraw.Draw(picture).text((1 - left, 1 - top), text, fill=255, font=font)
    ink = np.asarray(picture)
    rows, columns = np.flatnonzero(ink.max(1) > INK), np.flatnonzero(ink.max(0) > INK)
    if not len(rows):
        return ink[:0, :0], 0
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], int(top) - 1 + int(rows[0])
