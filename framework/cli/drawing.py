"""A workflow as text: boxes and arrows for a terminal, or Mermaid for a page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from framework.cli.graph_layout import Cell, Layout, lay_out
from framework.definition.models import END, START, Workflow

_LONGEST_NAME = 28
_UP, _RIGHT, _DOWN, _LEFT = 1, 2, 4, 8
_LINES = {
    _UP | _DOWN: "│", _LEFT | _RIGHT: "─", _DOWN | _RIGHT: "╭", _DOWN | _LEFT: "╮",
    _UP | _RIGHT: "╰", _UP | _LEFT: "╯", _UP | _DOWN | _RIGHT: "├", _UP | _DOWN | _LEFT: "┤",
    _LEFT | _RIGHT | _DOWN: "┬", _LEFT | _RIGHT | _UP: "┴", 15: "┼",
    _UP: "│", _DOWN: "│", _LEFT: "─", _RIGHT: "─",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Way:
    """One way from a node to another; `label` says when it is taken, if not always."""

    source: str
    target: str
    label: str = ""


def ways_of(workflow: Workflow) -> list[Way]:
    """Every way of a workflow file: edges, branches of routes, and handlers of errors."""
    ways = [
        Way(source, target) for edge in workflow.edges for source in edge.sources for target in edge.targets
    ]
    for route in workflow.routes:
        for branch in route.branches:
            label = "else" if branch.condition is None else " ".join(branch.condition.split())
            ways += [Way(route.source, target, label) for target in branch.targets]
    for name, node in workflow.nodes.items():
        if node.on_error is not None and node.on_error.goto is not None:
            ways.append(Way(name, node.on_error.goto, "on error"))
    return ways


def draw(ways: Sequence[Way], *, width: int) -> str:
    """Return a drawing of at most `width` columns; a plain list where it would be wider."""
    targets: dict[str, list[str]] = {}
    for way in ways:
        targets.setdefault(way.source, []).append(way.target)
        targets.setdefault(way.target, [])
    if not targets:
        return ""
    root = START if START in targets else next(iter(targets))
    layout = lay_out(targets, {name: _width(name) for name in targets}, root=root)
    canvas = _Canvas(layout)
    drawing = canvas.text()
    if max(map(len, drawing.splitlines()), default=0) > width:
        drawing = _outline(targets)
    notes = _notes(ways, canvas.untold)
    return drawing + ("\n\n" + notes if notes else "")


def mermaid(ways: Sequence[Way]) -> str:
    """Return a Mermaid flowchart."""
    names = list(dict.fromkeys(name for way in ways for name in (way.source, way.target)))
    # Mermaid takes `end` for a word of its own, and dashes for arrows.
    ids = {name: f"n{place}" for place, name in enumerate(names)}
    lines = ["flowchart TD"]
    for name in names:
        shape = ("([", "])") if name in (START, END) else ("[", "]")
        lines.append(f"    {ids[name]}{shape[0]}{_quoted(name)}{shape[1]}")
    for way in ways:
        arrow = "-.->" if way.label == "on error" else "-->"
        label = f"|{_quoted(way.label)}|" if way.label else ""
        lines.append(f"    {ids[way.source]} {arrow}{label} {ids[way.target]}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    escaped = re.sub(r"[&\"<>#]", lambda found: f"#{ord(found[0])};", text)
    return f'"{escaped}"'


def _title(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _width(name: str) -> int:
    # Always odd, so that boxes above each other have their middles in one column.
    return (len(_title(name)) + 4) | 1


def _outline(targets: Mapping[str, Sequence[str]]) -> str:
    return "\n".join(
        f"{name} → {', '.join(dict.fromkeys(leads))}" for name, leads in targets.items() if leads
    )


def _notes(ways: Sequence[Way], untold: Sequence[tuple[str, str]]) -> str:
    """What the lines do not say: when a way is taken, and ways back for which there was no room."""
    labelled = [way for way in ways if way.label]
    labelled += [Way(source, target) for source, target in untold
                 if not any(way.source == source and way.target == target for way in labelled)]  # fmt: skip
    if not labelled:
        return ""
    left = max(len(way.source) for way in labelled)
    middle = min(60, max(len(way.label) for way in labelled))
    lines, before = [], ""
    for way in labelled:
        source = way.source if way.source != before else ""
        before = way.source
        lines.append(f"{source:>{left}}  {way.label:<{middle}}  → {way.target}")
    return "\n".join(line.rstrip() for line in lines)


class _Canvas:
    """Characters in rows; lines are kept as directions, so that they join where they meet."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.chars: dict[tuple[int, int], str] = {}
        self.lines: dict[tuple[int, int], int] = {}
        self.tops: list[int] = []
        self.untold: list[tuple[str, str]] = []
        row = 0
        for rank, layer in enumerate(layout.layers):
            self.tops.append(row)
            for cell in layer:
                self._cell(cell, row)
            if rank + 1 < len(layout.layers):
                row += 3 + self._between(layer, row + 3)
        self._back()

    def text(self) -> str:
        """Return the drawing."""
        for place, directions in self.lines.items():
            self.chars.setdefault(place, _LINES[directions])
        if not self.chars:
            return ""
        rows = max(row for row, _ in self.chars) + 1
        lines = []
        for row in range(rows):
            columns = [column for place, column in self.chars if place == row]
            text = "".join(
                self.chars.get((row, column), " ") for column in range(max(columns, default=-1) + 1)
            )
            lines.append(text.rstrip())
        return "\n".join(lines)

    def _cell(self, cell: Cell, top: int) -> None:
        if cell.is_line:
            for row in range(top, top + 3):
                self._join(row, cell.center, _UP | _DOWN)
            return
        title = _title(cell.name)
        inner = cell.width - 2
        corners = "╭╮╰╯" if cell.name in (START, END) else "┌┐└┘"
        self._write(top, cell.left, corners[0] + "─" * inner + corners[1])
        self._write(top + 1, cell.left, f"│ {title:^{inner - 2}} │")
        self._write(top + 2, cell.left, corners[2] + "─" * inner + corners[3])
        if cell.below:
            self._write(top + 2, cell.center, "┬")

    def _between(self, layer: list[Cell], top: int) -> int:
        """Draw the ways from one layer to the next; return how many rows that took."""
        tracks: list[tuple[frozenset[int], list[tuple[int, int]]]] = []
        chosen: list[tuple[Cell, int]] = []
        for cell in layer:
            targets = frozenset(each.center for each in cell.below)
            if not targets or targets == {cell.center}:
                chosen.append((cell, 0))
                continue
            first, last = min(cell.center, *targets), max(cell.center, *targets)
            # Sources of the same targets share a track: that is what a join looks like.
            number = next(
                (
                    place
                    for place, (same, spans) in enumerate(tracks)
                    if same == targets or all(last < begin - 1 or first > end + 1 for begin, end in spans)
                ),
                len(tracks),
            )
            if number == len(tracks):
                tracks.append((targets, []))
            tracks[number][1].append((first, last))
            chosen.append((cell, number))
        height = len(tracks) + 1
        for cell, number in chosen:
            for below in cell.below:
                self._way(cell.center, below, top, top + number, top + height - 1)
        return height

    def _way(self, source: int, below: Cell, top: int, track: int, bottom: int) -> None:
        target = below.center
        for row in range(top, track):
            self._join(row, source, _UP | _DOWN)
        if source == target:
            self._join(track, source, _UP | _DOWN)
        else:
            step = 1 if target > source else -1
            self._join(track, source, _UP | (_RIGHT if step > 0 else _LEFT))
            for column in range(source + step, target, step):
                self._join(track, column, _LEFT | _RIGHT)
            self._join(track, target, _DOWN | (_LEFT if step > 0 else _RIGHT))
        for row in range(track + 1, bottom + 1):
            self._join(row, target, _UP | _DOWN)
        if not below.is_line:
            self._write(bottom, target, "▼")

    def _back(self) -> None:
        """Draw the ways back along the right side, where nothing stands between."""
        boxes = {cell.name: (rank, cell) for rank, layer in enumerate(self.layout.layers)
                 for cell in layer if not cell.is_line}  # fmt: skip
        rail = self.layout.width + 2
        used: set[str] = set()
        for source, target in self.layout.back:
            (low, source_cell), (high, target_cell) = boxes[source], boxes[target]
            room = all(
                self.layout.layers[rank][-1] is cell
                for rank, cell in ((low, source_cell), (high, target_cell))
            )
            if not room or source == target or source in used or target in used:
                self.untold.append((source, target))
                continue
            used.update((source, target))
            bottom, top = self.tops[low] + 1, self.tops[high] + 1
            right = source_cell.left + source_cell.width
            self._write(bottom, right - 1, "├")
            for column in range(right, rail):
                self._join(bottom, column, _LEFT | _RIGHT)
            self._join(bottom, rail, _LEFT | _UP)
            for row in range(top + 1, bottom):
                self._join(row, rail, _UP | _DOWN)
            self._join(top, rail, _LEFT | _DOWN)
            right = target_cell.left + target_cell.width
            for column in range(right + 1, rail):
                self._join(top, column, _LEFT | _RIGHT)
            self._write(top, right, "◀")
            rail += 3

    def _join(self, row: int, column: int, directions: int) -> None:
        known = self.lines.get((row, column), 0)
        crossing = {known, directions} == {_UP | _DOWN, _LEFT | _RIGHT}
        # Lines that merely cross do not meet: the upright one passes over.
        self.lines[row, column] = _UP | _DOWN if crossing else known | directions

    def _write(self, row: int, column: int, text: str) -> None:
        for offset, char in enumerate(text):
            self.chars[row, column + offset] = char
