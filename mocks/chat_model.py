"""A LangChain chat model that needs no network and always gives the same answer.

It stands behind `--input model=fake:planner`. `answers` scripts what it says, to
see how its user copes with a model that talks nonsense.
"""

from __future__ import annotations

import json
import re
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel, Field, ValidationError

ASKING = re.compile(r"[^.!?\n]*\b(?:please|can you|could you)\b[^.!?\n]*[.!?]?", re.IGNORECASE)


class FakeChatModel(BaseChatModel):
    """Answers with the sentences that say "please", "can you" or "could you", as a JSON task list."""

    answers: list[str] = Field(default_factory=list)
    prompts: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "holdfast-stand-in"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002  # the base class asks for these three
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> ChatResult:
        prompt = str(messages[-1].content)
        self.prompts.append(prompt)
        text = self.answers.pop(0) if self.answers else _answer(prompt)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text))])

    def with_structured_output(
        self,
        schema: Any,
        *,
        include_raw: bool = False,
        **kwargs: Any,  # noqa: ARG002  # the base class asks for it
    ) -> Runnable[Any, Any]:
        """Parse the answer as `schema`, as LangChain's models do.

        With `include_raw`, an answer that does not fit is handed back instead of raised.
        """

        def parse(prompt: Any) -> Any:
            raw = self.invoke(prompt)
            parsed: BaseModel | None = None
            error: Exception | None = None
            try:
                parsed = schema.model_validate_json(str(raw.content))
            except ValidationError as found:
                error = found
            if include_raw:
                return {"raw": raw, "parsed": parsed, "parsing_error": error}
            if error is not None:
                raise error
            return parsed

        return RunnableLambda(parse)


def _answer(prompt: str) -> str:
    # The message stands last; everything before it is the question.
    text = re.split(r"\nSubject: [^\n]*\n", prompt, maxsplit=1)[-1]
    quotes = [found.group(0).strip() for found in ASKING.finditer(text)]
    tasks = [{"title": quote[:80].rstrip("?.!"), "kind": "request", "quote": quote} for quote in quotes]
    return json.dumps({"tasks": tasks})
