"""How a run looks while it is driven: a live tree on a terminal, one line per event elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from framework.cli import render, signals
from framework.cli.progress import ENTRY, STATUS_MARKS, Card, Mark, NodeLine, View, error_line, short
from framework.durability.run import Ending
from framework.graph.context import NodeTry

REFRESHES_PER_SECOND = 8
STOPPING = "stopping at the next step boundary; Ctrl-C once more stops at once"


def open_view(*, json: bool) -> View:
    """Return the view that fits: with `--json`, stdout is left to the document."""
    console = render.stderr() if json else render.stdout()
    if console.is_terminal and not console.is_dumb_terminal:
        return TreeView(console)
    return LineView(console)


class LineView:
    """One line per event, for pipes, logs and dumb terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._cards: dict[str, Card] = {}
        self._several = False

    def say(self, text: str, *, style: str = "") -> None:
        """Print it."""
        self._console.print(Text(render.clean(text), style=style), soft_wrap=True)
        self._console.file.flush()

    def opened(self, card: Card) -> None:
        """Print its name, and what was saved earlier."""
        self._cards[card.run.run_id] = card
        self._several = len(self._cards) > 1
        if card.run.started_at is None:
            self.say(f"{_now()} {card.name} begins, thread {card.run.thread_id}")
        for line in card.nodes.values():
            if line.mark is Mark.SAVED:
                self._event(card, line.name, "saved earlier")

    def observe(self, kind: str, node_try: NodeTry, facts: Mapping[str, Any]) -> None:
        """Print the event."""
        card = self._cards.get(node_try.run_id)
        if card is None:
            return
        line = card.tell(kind, node_try, facts)
        if line.name == ENTRY and line.mark is not Mark.FAILED:
            return
        words = _event_words(kind, line)
        if words:
            self._event(card, line.name, words)

    def closed(self, ending: Ending) -> None:
        """Print how a run of several ended; a single one is reported below."""
        card = self._cards.get(ending.run_id)
        if card is not None and self._several:
            self.say(f"{_now()} {_ending_words(card, ending)}")

    def stopping(self) -> None:
        """Say so past Python's buffers."""
        signals.write_raw(f"\n{STOPPING}\n")

    def finish(self) -> None:
        """Forget the runs that were shown."""
        self._cards.clear()
        self._several = False

    def _event(self, card: Card, node: str, words: str) -> None:
        run = f"{short(card.run.run_id)} " if self._several else ""
        self.say(f"{_now()} {run}{node} {words}")


class TreeView:
    """A tree that moves, for a person."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._cards: dict[str, Card] = {}
        self._ended: dict[str, int] = {}
        self._live: Live | None = None
        self._stopping = False
        self._log_streams: list[tuple[logging.StreamHandler[Any], Any]] = []

    def say(self, text: str, *, style: str = "") -> None:
        """Print above what moves."""
        self._console.print(Text(render.clean(text), style=style))

    def opened(self, card: Card) -> None:
        """Begin to move."""
        self._cards[card.run.run_id] = card
        if self._live is None:
            self._start()

    def observe(self, kind: str, node_try: NodeTry, facts: Mapping[str, Any]) -> None:
        """Take it in; the next refresh shows it."""
        card = self._cards.get(node_try.run_id)
        if card is not None:
            card.tell(kind, node_try, facts)

    def closed(self, ending: Ending) -> None:
        """Keep the tree of a single run; of several, print how each ended."""
        card = self._cards.get(ending.run_id)
        if card is None:
            return
        card.status, card.ended_at = ending.status, card.began_at + card.elapsed_seconds
        if len(self._cards) > 1:
            self._ended[str(ending.status)] = self._ended.get(str(ending.status), 0) + 1
            self.say(_ending_words(card, ending), style=_ending_mark(ending).style)

    def stopping(self) -> None:
        """Let the next refresh say so."""
        self._stopping = True

    def finish(self) -> None:
        """Leave the last picture where it is, and the cursor below it."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        for handler, stream in self._log_streams:
            handler.setStream(stream)
        self._log_streams.clear()
        self._cards.clear()
        self._ended.clear()

    def _start(self) -> None:
        self._live = Live(
            get_renderable=self._picture,
            console=self._console,
            refresh_per_second=REFRESHES_PER_SECOND,
            vertical_overflow="crop",
        )
        self._live.start(refresh=True)
        # A scenario may kill this process with -9, and nobody would give the cursor back.
        self._console.show_cursor(True)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.get_name() == "holdfast":
                # Log lines go above the tree, not into it.
                self._log_streams.append((handler, handler.stream))
                handler.setStream(sys.stderr)

    def _picture(self) -> RenderableType:
        cards = list(self._cards.values())
        parts: list[RenderableType]
        if len(cards) == 1:
            parts = [_tree(cards[0])]
        else:
            parts = [_many(cards, self._ended, height=max(4, self._console.height - 4))]
        if self._stopping and any(card.ended_at is None for card in cards):
            parts.append(Text(f"  {STOPPING}", style="yellow"))
        # The cursor rests on a line of its own: a killed process leaves it there for the shell.
        return Group(*parts, Text(""))


def _tree(card: Card) -> RenderableType:
    head = Text.assemble(
        (card.run.workflow, "bold"),
        f"  {short(card.run.run_id)}  ",
        (f"thread {card.run.thread_id}", "dim"),
        overflow="ellipsis", no_wrap=True,
    )  # fmt: skip
    if card.apart:
        return Group(head, Text("└─ ▶ driven in a process of its own", style="bold blue"))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis")
    lines = list(card.nodes.values())
    for line in lines:
        table.add_row(*_row(line, guide="└─" if line is lines[-1] else "├─", over=card.ended_at is not None))
    return Group(head, table)


def _row(line: NodeLine, *, guide: str, over: bool) -> tuple[Text, Text, Text, Text]:
    mark, words = line.mark, line.words()
    if over and mark is Mark.AHEAD:
        words = "not reached"
    name = Text.assemble((f"{guide} ", "dim"), (mark.symbol, mark.style), " ", (line.name, mark.style))
    visit = f"visit {line.visit}" if line.visit > 1 else ""
    rest = "  ".join(part for part in (visit, line.note if mark is Mark.RUNNING else "", line.error) if part)
    return name, Text(words, style=mark.style), Text(line.time_shown(), style="dim"), Text(rest, style="dim")


def _many(cards: list[Card], ended: Mapping[str, int], *, height: int) -> RenderableType:
    open_cards = [card for card in cards if card.ended_at is None]
    at_work = [card for card in open_cards if card.active or card.apart]
    counts = [f"{number} {status}" for status, number in sorted(ended.items())]
    counts += [f"{len(at_work)} at work", f"{len(open_cards) - len(at_work)} in line"]
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for card in at_work[: height - 2]:
        nodes = ", ".join(f"{line.name} {line.words()} {line.time_shown()}".strip() for line in card.active)
        if card.apart:
            nodes = "in a process of its own"
        done = "" if card.apart else f"{card.done} of {len(card.nodes)}"
        table.add_row(
            Text(f"▶ {short(card.run.run_id)}"), Text(card.run.workflow), Text(done), Text(nodes, style="dim")
        )
    more = len(at_work) - (height - 2)
    rest = [Text(f"… and {more} more", style="dim")] if more > 0 else []
    return Group(table, *rest, Text(f"{len(cards)} runs: {', '.join(counts)}", style="bold"))


def _event_words(kind: str, line: NodeLine) -> str:
    if kind == "started":
        visit = f", visit {line.visit}" if line.visit > 1 else ""
        return f"started (try {line.of_tries}{visit})"
    if kind == "retrying":
        return f"tries again in {max(0.0, line.next_try_at - time.monotonic()):.1f} s (try {line.of_tries})"
    if kind == "progress":
        return line.note
    took = f" after {render.elapsed(line.took_seconds)}" if line.took_seconds is not None else ""
    error = f": {line.error}" if line.error else ""
    match line.mark:
        case Mark.DONE:
            return f"done{took}"
        case Mark.FAILED:
            return f"failed{took}{error}"
        case Mark.CONTINUED:
            return f"failed{took}, the run goes on without it{error}"
        case Mark.WAITING:
            return "waits for an answer"
        case _:
            return f"stopped{took}"


def _ending_mark(ending: Ending) -> Mark:
    return STATUS_MARKS[ending.status] if ending.status is not None else Mark.STOPPED


def _ending_words(card: Card, ending: Ending) -> str:
    status = str(ending.status) if ending.status is not None else f"left: {ending.detail}"
    detail = ""
    if ending.error is not None:
        node = f"node {ending.error['node']}: " if ending.error.get("node") else ""
        detail = f": {node}{error_line(ending.error)}"
    took = render.elapsed(card.elapsed_seconds)
    return f"{_ending_mark(ending).symbol} {card.name} {status} after {took}{detail}"


def _now() -> str:
    return f"{datetime.now().astimezone():%H:%M:%S}"
