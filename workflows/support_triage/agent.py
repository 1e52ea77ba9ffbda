"""Sorts a support ticket: classify, look the customer up, then answer, escalate or hand over."""

import operator
import re
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph

TOPICS = {
    "billing": r"\b(invoice|bill|charged?|refund|payment)\b",
    "hardware": r"\b(sensor|battery|broken|replacement|housing)\b",
    "account": r"\b(password|login|log in|access)\b",
}
CUSTOMERS = {"harbour": "premium", "fairwind": "standard"}
ANSWERS = {"account": "You can set a new password at https://example.com/reset."}
URGENT = re.compile(r"\b(urgent|down|outage|immediately|asap)\b", re.IGNORECASE)


class Ticket(TypedDict, total=False):
    """A ticket on its way."""

    customer: str
    subject: str
    body: str
    topic: str
    urgent: bool
    contract: str
    queue: str
    answer: str
    history: Annotated[list[str], operator.add]


def classify(state: Ticket) -> Ticket:
    """Find the topic by its words, and whether it is urgent."""
    text = f"{state.get('subject', '')}\n{state.get('body', '')}"
    topic = next((name for name, words in TOPICS.items() if re.search(words, text, re.IGNORECASE)), "other")
    urgent = bool(URGENT.search(text))
    return {"topic": topic, "urgent": urgent, "history": [f"classified as {topic}"]}


def look_up_customer(state: Ticket) -> Ticket:
    """Find the customer's contract."""
    contract = CUSTOMERS.get(state.get("customer", ""), "none")
    return {"contract": contract, "history": [f"contract: {contract}"]}


def choose(state: Ticket) -> str:
    """Say where the ticket goes next."""
    if state["urgent"] and state["contract"] == "premium":
        return "escalate"
    return "answer" if state["topic"] in ANSWERS else "hand_over"


def escalate(state: Ticket) -> Ticket:  # noqa: ARG001  # LangGraph gives the state to every node
    """Call somebody now."""
    return {"queue": "on-call", "answer": "An engineer calls you within the hour.", "history": ["escalated"]}


def answer(state: Ticket) -> Ticket:
    """Answer what has a ready answer."""
    return {"queue": "solved", "answer": ANSWERS[state["topic"]], "history": ["answered"]}


def hand_over(state: Ticket) -> Ticket:
    """Put it into the queue of the team that knows."""
    text = "We have your message and answer within a day."
    return {"queue": f"team-{state['topic']}", "answer": text, "history": ["handed over"]}


builder = StateGraph(Ticket)
builder.add_node("classify", classify)
builder.add_node("look_up_customer", look_up_customer)
builder.add_node("escalate", escalate)
builder.add_node("answer", answer)
builder.add_node("hand_over", hand_over)
builder.add_edge(START, "classify")
builder.add_edge("classify", "look_up_customer")
builder.add_conditional_edges("look_up_customer", choose, ["escalate", "answer", "hand_over"])
builder.add_edge("escalate", END)
builder.add_edge("answer", END)
builder.add_edge("hand_over", END)
