"""What a drawing is made of: shapes, lines and texts at their places, in units of one point."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Lengths are in points; places lie on halves of one, which keeps drawings sharp and their text short.
MARGIN = 4.0  # around the drawing
RING = 3.5  # radius of the symbol of an addition
TEXT, TITLE = 11.0, 12.0  # sizes of text and of a title
LETTERS = {"fijlrt .,:;-()'": 0.36, "cksvxyz": 0.56, "mwMWG×→": 0.86}  # widths in DejaVu Sans, relative to the size
WIDTHS = {letter: width for letters, width in LETTERS.items() for letter in letters}


@dataclass(frozen=True, slots=True)
class Shape:
    """A box between two vertical edges of lengths `left` and `right`, centred at height `y`.

    `role` is the part of the network that it depicts; a box that narrows to the right makes maps smaller.
    """

    role: str
    x: float
    y: float
    width: float
    left: float
    right: float

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        """The corners from the upper left, clockwise; squeeze-and-excitation has a waist, a projection is a diamond."""
        x, y, middle, end = self.x, self.y, self.x + self.width / 2, self.x + self.width
        left, right = self.left / 2, self.right / 2
        if self.role == "projection":
            return (x, y), (middle, y - left), (end, y), (middle, y + left)
        if self.role == "excitation":
            waist = left / 4
            return (
                (x, y - left),
                (middle, y - waist),
                (end, y - right),
                (end, y + right),
                (middle, y + waist),
                (x, y + left),
            )
        return (x, y - left), (end, y - right), (end, y + right), (x, y + left)


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points: the "flow" of maps, a "shortcut" (with rounded corners), or a "stage"."""

    role: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Text:
    """Text on the baseline `y`; `x` is its start, middle or end, according to `anchor`."""

    x: float
    y: float
    words: str
    anchor: str = "middle"
    role: str = "value"  # or header, title: larger and bold

    @property
    def span(self) -> tuple[float, float]:
        """Where the text begins and ends, by approximate widths of letters."""
        width = text_width(self.words, TITLE if self.role == "title" else TEXT)
        start = self.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor] * width
        return start, start + width


@dataclass(frozen=True, slots=True)
class Drawing:
    """A network as shapes in units of one point, `y` downwards. `marks` are symbols on shortcuts and in the legend."""

    width: float
    height: float
    shapes: tuple[Shape, ...] = ()
    marks: tuple[Shape, ...] = ()
    lines: tuple[Line, ...] = ()
    sums: tuple[tuple[float, float], ...] = ()  # where a shortcut is added
    texts: tuple[Text, ...] = ()


def on_halves(length: float) -> float:
    return math.ceil(2 * length) / 2


def text_width(words: str, size: float = TEXT) -> float:
    """The approximate width of text in DejaVu Sans or Verdana of this size."""
    return on_halves(size * sum(WIDTHS.get(letter, 0.64) for letter in words))
