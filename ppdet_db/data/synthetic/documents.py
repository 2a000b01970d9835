"""Dense scenes: what is printed on receipts, forms and articles."""

from itertools import pairwise

import cv2
import numpy as np

from ppdet_db.data.synthetic.chance import happens, pick, weighted
from ppdet_db.data.synthetic.page import Page
from ppdet_db.data.synthetic.patch import Patch


def receipt(page: Page) -> None:
    """Shop, address, numbers, items with prices, sums, thanks."""
    rng, say = page.rng, page.say
    columns = _columns(page)
    _receipt_head(page)
    while not page.full:
        _items(page, columns)
        _sums(page)
        if happens(rng, 0.5):
            _tax_table(page)
        align = pick(rng, (0.0, 0.5, 0.5))
        for _ in range(int(rng.integers(1, 5))):
            if not page.full:
                page.line(pick(rng, (say.link, lambda: say.sentence(3, 6), lambda: say.words(2, 4), say.note))(), align)
        if happens(rng, 0.3):
            page.barcode()
        page.feed(rng.uniform(0.2, 2))


def _receipt_head(page: Page) -> None:
    rng, say = page.rng, page.say
    align = pick(rng, (0.0, 0.5, 0.5, 0.5))
    if happens(rng, 0.25):
        _logo(page)
    page.line(say.company().upper(), align, page.pen(rng.uniform(1, 1.7)))
    for _ in range(int(rng.integers(1, 6))):
        page.line(pick(rng, (say.address, say.address, say.note, say.note, lambda: f"({say.code()})"))(), align)
    if happens(rng, 0.6):
        page.feed(rng.uniform(0, 0.6))
        page.line(pick(rng, ("TAX INVOICE", "RECEIPT", "INVOICE", "Tax Invoice", say.words(1, 2))), 0.5,
                  page.pen(rng.uniform(1, 1.5), rng.uniform(1, 1.4)))  # fmt: skip
    if happens(rng, 0.6):
        page.rule()
    for _ in range(int(rng.integers(1, 5))):
        if happens(rng, 0.45):
            page.put(say.note(), page.left)
            page.put(pick(rng, (say.time, say.date, say.note))(), page.right, align=1)
            page.feed()
        else:
            page.line(say.note() if happens(rng, 0.7) else f"{say.date()} {say.time()}")


def _logo(page: Page) -> None:
    """A mark above the name: shapes, not letters."""
    rng, r = page.rng, int(page.size * page.rng.uniform(1, 2))
    x, y = page.width // 2, page.y + r
    if happens(rng, 0.5):
        cv2.ellipse(page.ink, (x, y), (int(r * rng.uniform(1, 2)), r), 0, 0, 360, 255, int(pick(rng, (-1, 1, 2))))
    else:
        points = rng.integers(-r, r, (int(rng.integers(3, 7)), 2)) + np.array([x, y])
        cv2.fillPoly(page.ink, [points.astype(np.int32)], 255)
    page.y += 2 * r + 3


def _columns(page: Page) -> list[float]:
    """Right ends of the number columns, from the right; the last is always the amount."""
    span = page.right - page.left
    ends = [page.right]
    for _ in range(int(page.rng.integers(0, 3))):
        ends.append(ends[-1] - span * page.rng.uniform(0.15, 0.22))
    return ends


def _items(page: Page, columns: list[float]) -> None:
    rng, say = page.rng, page.say
    if happens(rng, 0.7):
        page.rule()
    if happens(rng, 0.7):
        for x, caption in zip(columns, ("Amount", "Price", "Qty"), strict=False):
            page.put(caption if say.language == "english" else say.words(1, 1), x, align=1)
        page.put(pick(rng, ("Item", "Description", "DESCRIPTION", say.words(1, 1))), page.left)
        if happens(rng, 0.1):
            page.invert_row()
        page.feed()
        if happens(rng, 0.6):
            page.rule()
    style = pick(rng, ("one line", "one line", "two lines", "quantity first"))
    indent = page.left + (2.5 * page.size if style == "quantity first" else 0)
    gap = rng.uniform(1, 1.3)
    tax = pick(rng, ("S", "SR", "T", "*")) if happens(rng, 0.2) else ""
    if tax:
        columns = [x - 3 * page.size for x in columns]
    for _ in range(int(rng.integers(2, 12))):
        if page.full:
            return
        if style == "two lines":
            page.line(say.item())
            page.put(say.code() if happens(rng, 0.6) else f"{say.digits(1, 2)} x {say.price()}", page.left + page.size)
        for place, x in enumerate(columns):
            page.put(say.amount() if place == 0 else say.price() if place == 1 else say.digits(1, 2), x, align=1)
        if tax:
            page.put(tax, page.right, align=1)
        if style != "two lines":
            _shortened(page, say.item(), indent, columns[-1] - 4.5 * page.size)
        if style == "quantity first":
            page.put(say.digits(1, 1), page.left)
        page.feed(gap)


def _shortened(page: Page, text: str, x: float, end: float) -> None:
    """Prints as much of the text as fits between `x` and `end`."""
    while text and page.width_of(text, page.pen()) > end - x:
        text = text[:-1].rstrip()
    if text:
        page.put(text, x)


def _sums(page: Page) -> None:
    rng, say = page.rng, page.say
    if happens(rng, 0.7):
        page.rule()
    captions_at = pick(rng, (0.0, 0.0, 0.3, 0.7))
    for _ in range(int(rng.integers(2, 8))):
        if page.full:
            return
        pen = page.pen(rng.uniform(1.2, 1.7), rng.uniform(1, 1.3)) if happens(rng, 0.12) else page.pen()
        page.put(say.amount(), page.right, pen, 1)
        if captions_at == 0.7:
            page.put(say.total(), page.left + 0.7 * (page.right - page.left), pen, 1)
        else:
            page.put(say.total(), page.left + captions_at * (page.right - page.left), pen)
        page.y += round(page.line_height * pen.size / page.size)
    if happens(rng, 0.4):
        page.rule()


def _tax_table(page: Page) -> None:
    """A few short columns, in a box now and then."""
    rng, say = page.rng, page.say
    top = page.y
    page.feed(0.4)
    xs = np.linspace(page.left + page.size, page.right - page.size * 0.5, int(rng.integers(3, 5)))
    for row in range(int(rng.integers(2, 5))):
        if page.full:
            return
        for i, x in enumerate(xs):
            words = pick(rng, ("Tax", "Amt (RM)", "Code", "%", "GST Summary", "Goods")) if row == 0 else say.price()
            page.put(words if i else pick(rng, ("SR", "ZRL", "S = 6%", "Total :")), x, align=0 if i == 0 else 1)
        page.feed()
    page.feed(0.4)
    if happens(rng, 0.4) and page.y < page.height - 3:
        page.box(page.left, top, page.right, page.y - 2)


def form(page: Page) -> None:
    """A heading, fields with captions, boxes to tick, tables of cells."""
    rng, say = page.rng, page.say
    page.line(say.words(2, 4).upper(), pick(rng, (0.0, 0.5)), page.pen(rng.uniform(1, 1.6)))
    page.feed(0.5)
    while not page.full:
        part = pick(rng, (_fields, _fields, _cells, _ticks, _paragraph))
        part(page, page.left, page.right)
        page.feed(rng.uniform(0.3, 1))


def _fields(page: Page, left: float, right: float) -> None:
    """`Name: ______`: caption, value and the line below the value."""
    rng, say = page.rng, page.say
    columns = int(rng.integers(1, 3))
    step = (right - left) / columns
    gap, ruled = rng.uniform(1.15, 1.7), happens(rng, 0.7)
    for _ in range(int(rng.integers(2, 7))):
        if page.full:
            return
        for column in range(columns):
            x = left + column * step
            caption = say.words(1, 2) + ":"
            start = x + page.width_of(caption, page.pen()) + page.size * rng.uniform(1, 3)
            if start + 3 * page.size > x + step or not page.put(caption, x):
                continue
            if happens(rng, 0.7):
                value = pick(rng, (say.date, say.phone, say.code, lambda: say.words(1, 3), say.price))()
                _shortened(page, value, start, x + step - page.size)
            base = page.y + round(1.15 * page.size * page.stretch[1])
            if ruled and base < page.height:
                page.ink[base, round(start - 3) : round(x + step - page.size)] = 255
        page.feed(gap)


def _cells(page: Page, left: float, right: float) -> None:
    """A table with its lines."""
    rng, say = page.rng, page.say
    columns, rows = int(rng.integers(2, 6)), int(rng.integers(2, 8))
    edges = np.linspace(left, right, columns + 1)
    height = round(page.line_height * rng.uniform(1.1, 1.6))
    makers = [
        pick(rng, (say.price, say.date, lambda: say.words(1, 2), say.code, lambda: say.digits(1, 4))) for _ in edges
    ]
    for row in range(rows):
        if page.y + height > page.bottom:
            return
        for i, x in enumerate(edges[:-1]):
            page.box(x, page.y, edges[i + 1], page.y + height)
            if happens(rng, 0.75):
                text = say.words(1, 1) if row == 0 else makers[i]()
                y = page.y + round((height - 1.2 * page.size * page.stretch[1]) / 2) + 1
                if page.width_of(text, page.pen()) < edges[i + 1] - x - page.size:
                    page.put(text, x + 0.5 * page.size, y=y)
        page.y += height


def _ticks(page: Page, left: float, right: float) -> None:
    rng, say = page.rng, page.say
    side = max(4, round(0.7 * page.size))
    for _ in range(int(rng.integers(1, 4))):
        x = left
        while x < right - 6 * page.size and not page.full:
            y = page.y + round(0.25 * page.size)
            page.box(x, y, x + side, y + side)
            text = say.words(1, 2)
            if not page.put(text, x + side + 0.7 * page.size):
                break
            x += side + page.width_of(text, page.pen()) + 3 * page.size
        page.feed(1.2)


def _paragraph(page: Page, left: float, right: float) -> None:
    """Running text, filled line by line."""
    words = " ".join(page.say.sentence(5, 14) for _ in range(int(page.rng.integers(1, 4)))).split()
    while words and not page.full:
        count = 1
        while count < len(words) and page.width_of(" ".join(words[: count + 1]), page.pen()) < right - left:
            count += 1
        _shortened(page, " ".join(words[:count]), left, right)
        words = words[count:]
        page.feed()


def article(page: Page) -> None:
    """A title and paragraphs in one to three columns."""
    rng, say = page.rng, page.say
    page.line(say.words(2, 5), pick(rng, (0.0, 0.5)), page.pen(rng.uniform(1.2, 2)))
    page.feed(0.6)
    columns = int(rng.integers(1, 4)) if page.right - page.left > 30 * page.size else 1
    step, top = (page.right - page.left + 2 * page.size) / columns, page.y
    for column in range(columns):
        page.y, left = top, page.left + column * step
        while not page.full:
            if happens(rng, 0.25):
                _shortened(page, say.words(1, 3), left, left + step - 2 * page.size)
                page.feed(1.3)
            _paragraph(page, left, left + step - 2 * page.size)
            page.feed(rng.uniform(0.2, 1))


def _empty_cells(page: Page) -> None:
    xs = np.linspace(page.left, page.right, int(page.rng.integers(2, 9)))
    height = page.line_height
    for _ in range(int(page.rng.integers(1, 6))):
        for x, end in pairwise(xs):
            page.box(x, page.y, end, page.y + height)
        page.y += height


def document(rng: np.random.Generator, width: int, height: int, sizes: tuple[int, int], ignore_ratio: float) -> Patch:
    """A page of that size, printed."""
    page = Page(rng, width, height, sizes, ignore_ratio)
    if happens(rng, 0.12):
        page.scribble()
    weighted(rng, {receipt: 5, form: 2, article: 1.5})(page)
    return page.printed()


def blank_document(rng: np.random.Generator, width: int, height: int, sizes: tuple[int, int]) -> Patch:
    """A page of that size that has everything but letters: rules, boxes, bars, strokes of a pen."""
    page = Page(rng, width, height, sizes, 0)
    while not page.full:
        pick(rng, (page.rule, page.barcode, page.scribble, lambda: _logo(page), lambda: _empty_cells(page)))()
        page.feed(rng.uniform(0, 3))
    return page.printed()
