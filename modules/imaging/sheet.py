"""One labelled picture of many: a table with its columns' and rows' labels, or pictures that flow, each above its label."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

MAX_SIDE = 16_384
"""Pixels; viewers and browsers refuse much more."""
MAX_PIXELS = 64_000_000
_PAPER, _INK, _EMPTY = "#ffffff", "#1d1d1f", "#ececee"
_MOST_LINES = 3
_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "PingFang.ttc",
    "STHeiti Light.ttc",
    "msyh.ttc",
    "simsun.ttc",
    "NotoSerifCJK-Regular.ttc",
    "NotoSerifCJK-Bold.ttc",
)
"""Where a label has letters that Pillow's own font lacks; Pillow looks for them where the system keeps fonts."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Open = Callable[[], Image.Image]


@dataclass(frozen=True)
class Table:
    """What is on a sheet: `pictures` by column and row (0-based), each opened when it is its turn; some may lack.

    `size` is the most that a picture measures, (width, height) in pixels. `title` stands above all. Where it `flows`
    the labels of the columns belong to the pictures one by one, and there is one row.
    """

    columns: Sequence[str]
    rows: Sequence[str]
    pictures: Mapping[tuple[int, int], Open]
    size: tuple[int, int]
    title: str = ""
    flows: bool = False


def compose(table: Table, max_pixels: int) -> Image.Image:
    """The sheet; pictures are made smaller where it would have more than `max_pixels` pixels or a side above `MAX_SIDE`."""
    scale = 1.0
    while True:
        plan = _Plan.of(table, scale)
        over = max(plan.width / MAX_SIDE, plan.height / MAX_SIDE)
        over = max(over, math.sqrt(plan.width * plan.height / max_pixels))
        if over <= 1 or min(plan.cell) <= 1:
            return plan.draw(table)
        scale *= min(
            0.98, 1 / over
        )  # labels do not shrink as pictures do, so it may take another round


@dataclass(frozen=True)
class _Plan:
    """Where everything is: all in pixels."""

    cell: tuple[int, int]
    across: int
    down: int
    gap: int
    font: Font
    title: list[str]
    columns: list[list[str]]
    rows: list[list[str]]
    left: int
    top: int
    label: int
    line: int
    flows: bool

    @classmethod
    def of(cls, table: Table, scale: float) -> "_Plan":
        cell = (max(1, round(table.size[0] * scale)), max(1, round(table.size[1] * scale)))
        letters = max(11, min(48, round(min(cell) * 0.07)))
        font = font_for("".join((*table.columns, *table.rows, table.title)), letters)
        line = round(letters * 1.35)
        gap = max(2, round(min(cell) * 0.02))
        count = len(table.columns)
        across = _columns(count, cell) if table.flows else count
        down = math.ceil(count / across) if table.flows else len(table.rows)
        columns = [wrapped(text, font, cell[0]) for text in table.columns]
        widest = max(cell[0], letters * 8)
        rows = [wrapped(text, font, widest) for text in table.rows]
        used = max((font.getlength(text) for lines in rows for text in lines), default=0)
        left = math.ceil(used) + 2 * gap if used else 0
        title = wrapped(table.title, font, left + across * (cell[0] + gap))
        label = max((len(lines) for lines in columns), default=0) * line
        top = len(title) * line + (0 if table.flows else label) + gap
        return cls(
            cell, across, down, gap, font, title, columns, rows, left, top, label, line, table.flows
        )

    @property
    def width(self) -> int:
        return self.left + self.across * (self.cell[0] + self.gap) + self.gap

    @property
    def height(self) -> int:
        return self.top + self.down * self._pitch + self.gap

    @property
    def _pitch(self) -> int:
        return self.cell[1] + self.gap + (self.label if self.flows else 0)

    def draw(self, table: Table) -> Image.Image:
        sheet = Image.new("RGB", (self.width, self.height), _PAPER)
        pen = ImageDraw.Draw(sheet)
        self._write(pen, self.title, (self.width - self.gap) // 2, self.gap // 2)
        for number, lines in enumerate(self.columns):
            x, y = self._corner(number % self.across, number // self.across)
            above = self.cell[1] + 1 if table.flows else -self.label
            self._write(pen, lines, x + self.cell[0] // 2, y + above)
        for number, lines in enumerate(self.rows):
            _, y = self._corner(0, number)
            room = self.cell[1] - len(lines) * self.line
            self._write(pen, lines, self.left // 2, y + max(0, room // 2))
        for y in range(len(table.rows) or 1):
            for x in range(len(table.columns)):
                place = (x % self.across, x // self.across) if table.flows else (x, y)
                self._paste(sheet, pen, place, table.pictures.get((x, y)))
        return sheet

    def _paste(
        self,
        sheet: Image.Image,
        pen: ImageDraw.ImageDraw,
        place: tuple[int, int],
        picture: Open | None,
    ) -> None:
        x, y = self._corner(*place)
        if picture is None:
            pen.rectangle((x, y, x + self.cell[0] - 1, y + self.cell[1] - 1), fill=_EMPTY)
            return
        image = picture().convert("RGB")
        fit = min(self.cell[0] / image.width, self.cell[1] / image.height, 1.0)
        if fit < 1:
            size = (max(1, round(image.width * fit)), max(1, round(image.height * fit)))
            image = image.resize(size, Image.Resampling.LANCZOS)
        middle = ((self.cell[0] - image.width) // 2, (self.cell[1] - image.height) // 2)
        sheet.paste(image, (x + middle[0], y + middle[1]))

    def _corner(self, column: int, row: int) -> tuple[int, int]:
        return (
            self.left + self.gap + column * (self.cell[0] + self.gap),
            self.top + self.gap // 2 + row * self._pitch,
        )

    def _write(
        self, pen: ImageDraw.ImageDraw, lines: Sequence[str], middle: float, top: float
    ) -> None:
        for number, text in enumerate(lines):
            place = (middle, top + (number + 0.5) * self.line)
            pen.text(place, text, fill=_INK, font=self.font, anchor="mm")


def _columns(count: int, cell: tuple[int, int]) -> int:
    """How many pictures stand side by side so that the sheet is about a third wider than high."""
    return max(1, min(count, round(math.sqrt(count * 1.33 * cell[1] / cell[0]))))


def font_for(text: str, size: int) -> Font:
    """A font of `size` pixels that has the letters of `text`, if this system has one; else Pillow's own."""
    own = ImageFont.load_default(size)
    if all(ord(letter) < 0x250 or letter in "…–—‘’“”·×" for letter in text):
        return own
    for name in _FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return own


def wrapped(text: str, font: Font, width: float) -> list[str]:
    """A text in at most three lines of at most `width` pixels, broken at spaces where there are any; cut with "…"."""
    left = " ".join(text.split())
    lines: list[str] = []
    while left and len(lines) < _MOST_LINES:
        end = _fitting(left, font, width)
        last = len(lines) == _MOST_LINES - 1
        if end < len(left) and last:
            while end > 1 and font.getlength(left[:end].rstrip() + "…") > width:
                end -= 1
            lines.append(left[:end].rstrip() + "…")
            break
        if end < len(left) and left[end] != " " and " " in left[:end]:
            end = left.rindex(" ", 0, end)
        lines.append(left[:end].rstrip())
        left = left[end:].lstrip()
    return lines


def _fitting(text: str, font: Font, width: float) -> int:
    """How many characters fit; at least one."""
    end = min(len(text), 400)
    while end > 1 and font.getlength(text[:end]) > width:
        end -= 1
    return end


def opener(path: Path) -> Open:
    """Opens a picture when it is asked for."""

    def opened() -> Image.Image:
        with Image.open(path) as image:
            image.load()
            return image.copy()

    return opened
