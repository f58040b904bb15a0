"""A drawing while shapes are added to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from reporting.drawings.shapes import MARGIN, Drawing, Line, Shape, Text

ROW = 14.0  # height of a line of text
MARK = 8.0  # size of a symbol


@dataclass
class Sketch:
    """What has been drawn so far. Maps flow along y = `middle`; the baseline of the first row of labels is `base`."""

    middle: float
    base: float
    shapes: list[Shape] = field(default_factory=list)
    marks: list[Shape] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    sums: list[tuple[float, float]] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)

    def box(self, role: str, x: float, width: float, left: float, right: float | None = None) -> float:
        """Adds a shape to the flow; returns where it ends."""
        self.shapes.append(Shape(role, x, self.middle, width, left, left if right is None else right))
        return x + width

    def drawing(self, end: float, bottom: float) -> Drawing:
        """What has been drawn, with its right end and its last line of text."""
        return Drawing(
            end + MARGIN,
            bottom + 3 + MARGIN,
            tuple(sorted(self.shapes, key=lambda shape: shape.role != "block")),  # blocks behind all others
            tuple(self.marks),
            tuple(self.lines),
            tuple(self.sums),
            tuple(self.texts),
        )

    def row(self, number: int) -> float:
        """The baseline of a row of labels; row 0 holds the names of the blocks."""
        return self.base + ROW * number + (4 if number else 0)

    def label(self, x: float, number: int, words: str, anchor: str = "middle", role: str = "value") -> None:
        self.texts.append(Text(x, self.row(number), words, anchor, role))


def mark(role: str, x: float, y: float) -> Shape:
    """A small symbol for a part of the network."""
    narrows = role in ("pooling", "average", "strided")
    kind = "convolution" if role == "strided" else role
    return Shape(kind, x, y, MARK, MARK * (1.25 if narrows else 1), MARK * (0.5 if narrows else 1))
