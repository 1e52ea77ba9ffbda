"""Two nodes that may write one key in one step need a reducer that joins what they wrote.

Which nodes those are is `simultaneity.py`'s business.
"""

from __future__ import annotations

from framework.definition.normal import Draft
from framework.definition.rules.simultaneity import simultaneous
from framework.definition.source import shown


def check_writers(draft: Draft) -> None:
    """Report keys without a reducer that two nodes may write in the same step."""
    plain = {key for key, entry in draft.workflow.state.items() if entry.reducer == "last"}
    writers = {name: [key for key in _written(draft, name) if key in plain] for name in draft.workflow.nodes}
    counts: dict[str, int] = {}
    for keys in writers.values():
        for key in keys:
            counts[key] = counts.get(key, 0) + 1
    if all(count < 2 for count in counts.values()):
        return
    pairs = simultaneous(draft)
    if pairs is None:
        message = "too many ways through the graph to tell whether two nodes write one key in one step"
        draft.problems.warn(("edges",), message, "give keys that several nodes write a reducer", key=True)
        return
    order = list(draft.workflow.nodes)
    rank = {name: place for place, name in enumerate(order)}
    for one, other in sorted(pairs, key=lambda pair: sorted((rank[pair[0]], rank[pair[1]]))):
        first, second = sorted((one, other), key=rank.__getitem__)
        for key in writers[first]:
            if key in writers[second]:
                _report(draft, first, second, key)


def _written(draft: Draft, name: str) -> tuple[str, ...]:
    node = draft.workflow.nodes[name]
    keys = dict.fromkeys(node.written_keys)
    if node.on_error is not None:
        keys.update(dict.fromkeys(node.on_error.continue_with or ()))
    return tuple(keys)


def _report(draft: Draft, first: str, second: str, key: str) -> None:
    node = draft.workflow.nodes[second]
    path: tuple[str | int, ...] = ("nodes", second, "on_error", "continue_with", key)
    if isinstance(node.writes, tuple):
        if key in node.writes:
            path = ("nodes", second, "writes", node.writes.index(key))
    elif key in node.writes:
        path = ("nodes", second, "writes", key)
    draft.problems.add(
        path,
        f"{shown(first)} and {shown(second)} may write {shown(key)} in the same step",
        f"give state.{key} a reducer (append, add, merge, merge_by:<key>), or run one after the other",
        key=True,
    )
