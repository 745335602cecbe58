"""Figures, the bars they are held against, and how both are shown."""

import dataclasses


@dataclasses.dataclass
class Figure:
    """One measured figure; with a bar it passes or fails."""

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_met(self):
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def bar(self):
        if self.at_least is not None:
            return f">= {number(self.at_least)}"
        return f"<= {number(self.at_most)}" if self.at_most is not None else ""

    def as_json(self):
        return {
            "name": self.name, "value": self.value, "unit": self.unit, "at_least": self.at_least,
            "at_most": self.at_most, "met": self.is_met,
        }


def number(value):
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}".rstrip("0").rstrip(".")


def table(figures):
    """The figures as lines of equal columns."""
    rows = [("measured", "value", "unit", "bar", "")]
    for figure in figures:
        verdict = ("ok" if figure.is_met else "MISSED") if figure.bar else ""
        rows.append((figure.name, number(figure.value), figure.unit, figure.bar, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for name, value, unit, bar, verdict in rows:
        cells = (name.ljust(widths[0]), value.rjust(widths[1]), unit.ljust(widths[2]), bar.ljust(widths[3]), verdict)
        lines.append("  ".join(cells).rstrip())
    return lines
