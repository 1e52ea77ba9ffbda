"""A graph → rows and columns: layers from top to bottom, ways back kept apart.

Names in, positions out; `drawing.py` turns them into characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Ways = Mapping[str, Sequence[str]]

_SWEEPS = 8
_GAP = 3


@dataclass(slots=True)
class Cell:
    """A box, or, where a way passes a layer without stopping, a piece of line."""

    name: str
    width: int
    is_line: bool = False
    left: int = 0
    above: list[Cell] = field(default_factory=list)
    below: list[Cell] = field(default_factory=list)

    @property
    def center(self) -> int:
        """The column in which its ways arrive and leave."""
        return self.left + self.width // 2


@dataclass(frozen=True, slots=True)
class Layout:
    """Layers of cells, and the ways that lead back up."""

    layers: list[list[Cell]]
    back: list[tuple[str, str]]

    @property
    def width(self) -> int:
        """Columns in all."""
        return max((cell.left + cell.width for layer in self.layers for cell in layer), default=0)


def lay_out(ways: Ways, widths: Mapping[str, int], *, root: str) -> Layout:
    """Place every node that `root` leads to; `widths` is how wide each box is."""
    forward, back = _without_loops(ways, root)
    ranks = _ranks(forward, root)
    layers = _cells(forward, ranks, widths)
    for _ in range(_SWEEPS):
        _order(layers)
    _place(layers)
    return Layout(layers, back)


def _without_loops(ways: Ways, root: str) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    forward: dict[str, list[str]] = {}
    back: list[tuple[str, str]] = []
    trail: set[str] = set()
    stack: list[tuple[str, bool]] = [(root, False)]
    while stack:
        name, leaving = stack.pop()
        if leaving:
            trail.discard(name)
            continue
        if name in forward:
            continue
        trail.add(name)
        forward[name] = []
        stack.append((name, True))
        stack.extend((target, False) for target in reversed(ways.get(name, ())))
        # Which of them lead back is known by what is on the trail now.
        for target in dict.fromkeys(ways.get(name, ())):
            if target in trail:
                back.append((name, target))
            else:
                forward[name].append(target)
    return _acyclic(forward, back)


def _acyclic(
    forward: dict[str, list[str]], back: list[tuple[str, str]]
) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """Take out what still closes a loop; the order of finishing tells."""
    state: dict[str, int] = {}
    for root in forward:
        stack: list[tuple[str, int]] = [(root, 0)]
        while stack:
            name, place = stack.pop()
            if place == 0 and state.get(name):
                continue
            state[name] = 1
            targets = forward[name]
            if place < len(targets):
                target = targets[place]
                if state.get(target) == 1:
                    targets.pop(place)
                    back.append((name, target))
                    stack.append((name, place) if place else (name, 0))
                    state[name] = 0 if not place else 1
                    continue
                stack.append((name, place + 1))
                if not state.get(target):
                    stack.append((target, 0))
            else:
                state[name] = 2
    return forward, back


def _ranks(forward: Mapping[str, Sequence[str]], root: str) -> dict[str, int]:
    waiting = dict.fromkeys(forward, 0)
    for targets in forward.values():
        for target in targets:
            waiting[target] += 1
    ranks = {root: 0}
    ready = [name for name, count in waiting.items() if count == 0]
    while ready:
        name = ready.pop()
        for target in forward[name]:
            ranks[target] = max(ranks.get(target, 0), ranks.get(name, 0) + 1)
            waiting[target] -= 1
            if waiting[target] == 0:
                ready.append(target)
    return ranks


def _cells(
    forward: Mapping[str, Sequence[str]], ranks: Mapping[str, int], widths: Mapping[str, int]
) -> list[list[Cell]]:
    layers: list[list[Cell]] = [[] for _ in range(max(ranks.values()) + 1)]
    boxes = {name: Cell(name, widths[name]) for name in forward}
    for name, cell in boxes.items():
        layers[ranks[name]].append(cell)
    for name, targets in forward.items():
        for target in targets:
            above = boxes[name]
            for rank in range(ranks[name] + 1, ranks[target]):
                line = Cell("", 1, is_line=True)
                layers[rank].append(line)
                _connect(above, line)
                above = line
            _connect(above, boxes[target])
    return layers


def _connect(above: Cell, below: Cell) -> None:
    above.below.append(below)
    below.above.append(above)


def _order(layers: list[list[Cell]]) -> None:
    """Put each cell near those it is connected with: once downwards, once upwards."""
    for rows, side in ((layers[1:], "above"), (layers[-2::-1], "below")):
        for layer in rows:
            places = {id(cell): place for other in layers for place, cell in enumerate(other)}
            wanted = {}
            for place, cell in enumerate(layer):
                beside: list[Cell] = getattr(cell, side)
                wanted[id(cell)] = sum(places[id(each)] for each in beside) / len(beside) if beside else place
            layer.sort(key=lambda cell: wanted[id(cell)])


def _place(layers: list[list[Cell]]) -> None:
    for layer in layers:
        left = 0
        for cell in layer:
            cell.left = left
            left += cell.width + _GAP
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            wants = [_wanted(cell, down=down) for cell in layer]
            _settle(layer, wants)
    least = min(cell.left for layer in layers for cell in layer)
    for layer in layers:
        for cell in layer:
            cell.left -= least


def _wanted(cell: Cell, *, down: bool) -> int:
    beside = (cell.above or cell.below) if down else (cell.below or cell.above)
    if not beside:
        return cell.center
    centers = sorted(each.center for each in beside)
    middle = len(centers) // 2
    return centers[middle] if len(centers) % 2 else (centers[middle - 1] + centers[middle]) // 2


def _settle(layer: list[Cell], wants: list[int]) -> None:
    """Move cells to where they want to be, as far as their neighbours let them; as a block if not."""
    blocks: list[list[int]] = []
    for place in range(len(layer)):
        blocks.append([place])
        while len(blocks) > 1 and _end(layer, wants, blocks[-2]) + _GAP > _begin(layer, wants, blocks[-1]):
            last = blocks.pop()
            blocks[-1] = blocks[-1] + last
    for block in blocks:
        left = _begin(layer, wants, block)
        for place in block:
            layer[place].left = left
            left += layer[place].width + _GAP


def _begin(layer: list[Cell], wants: list[int], block: list[int]) -> int:
    offset, total = 0, 0
    for place in block:
        total += wants[place] - layer[place].width // 2 - offset
        offset += layer[place].width + _GAP
    return round(total / len(block))


def _end(layer: list[Cell], wants: list[int], block: list[int]) -> int:
    width = sum(layer[place].width + _GAP for place in block) - _GAP
    return _begin(layer, wants, block) + width
