"""Who the plan is for, and who else is around."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from workflows.daily_task_planner.models import Message, Owner, Person, Source


def find_owner(user: str, messages: Sequence[Message]) -> Owner:
    """Return the user under every name that the messages know.

    `me` is whoever most mails were written to; otherwise an address, a name or
    a Slack handle. All people that share an address or a full name are one.

    Raises:
        ValueError: Nobody is called that; the message says who is there.
    """
    everyone = _everyone(messages)
    wanted = user.strip().casefold()
    if wanted in ("", "me"):
        wanted = _most_written_to(messages)
        if not wanted:
            return Owner()
    matching = [
        one for one in everyone if wanted in (one.address, one.name.casefold(), one.handle.casefold())
    ]
    if not matching:
        matching = [one for one in everyone if one.name.casefold().split(" ")[0] == wanted]
    if not matching:
        if "@" in wanted:
            # Nobody wrote to this address yet; that is an empty day, not a mistake.
            return Owner(addresses=[wanted])
        known = ", ".join(sorted({one.label for one in everyone})[:8]) or "nobody"
        raise ValueError(f"Input 'user': nobody is called {user!r}; the messages know {known}")
    # A person's mail address leads to the name, and the name to the Slack handle.
    addresses = {one.address for one in matching} - {""}
    names = {one.name.casefold() for one in matching} - {""}
    same = [one for one in everyone if one.address in addresses or one.name.casefold() in names]
    label = Counter(one.name for one in same if one.name)
    return Owner(
        name=min(label, key=lambda name: (-label[name], name), default=""),
        addresses=sorted({one.address for one in same} - {""}),
        handles=sorted({one.handle for one in same} - {""}),
    )


def is_owner(person: Person, owner: Owner) -> bool:
    """Whether this person is the user."""
    return (
        (person.address != "" and person.address in owner.addresses)
        or (person.handle != "" and person.handle in owner.handles)
        or (person.name != "" and person.name.casefold() == owner.name.casefold())
    )


def first_name(person: Person | Owner) -> str:
    """Return the name that people call this person by; empty when it is unknown."""
    found = re.match(r"\w[\w'-]*", person.name)
    return found.group(0) if found else ""


def other_names(messages: Sequence[Message], owner: Owner) -> set[str]:
    """Return the first names of everyone but the user, in lower case."""
    names = {first_name(one).casefold() for one in _everyone(messages) if not is_owner(one, owner)}
    return names - {"", first_name(owner).casefold()}


def _everyone(messages: Iterable[Message]) -> list[Person]:
    return [
        person
        for message in messages
        for person in (message.sender, *message.recipients, *message.copies)
        if not message.automatic
    ]


def _most_written_to(messages: Sequence[Message]) -> str:
    counts = Counter(
        person.address
        for message in messages
        if message.source is Source.EMAIL
        for person in message.recipients
        if person.address
    )
    if not counts:
        # Slack alone: whoever is written to directly most often.
        counts = Counter(
            person.address or person.handle.casefold()
            for message in messages
            if message.is_direct
            for person in message.recipients
        )
    return min(counts, key=lambda address: (-counts[address], address), default="")
