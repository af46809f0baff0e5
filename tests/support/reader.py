"""A client's view of one task, kept by the rules that the README gives to clients. Pure."""

from __future__ import annotations

from typing import Any, Final

STATE_OF_END: Final = {"completed": "completed", "failed": "discarded", "cancelled": "cancelled"}
END_STATES: Final = frozenset(STATE_OF_END.values())


class Reader:
    """What one client knows of a task, over all its connections.

    ``ends`` are the end states that it was told: one is right. ``done`` says that it knows all
    there is. ``oddities`` are sentences about what no client should ever see.
    """

    def __init__(self) -> None:
        self.text = ""
        self.ends: list[str] = []
        self.done = False
        self.oddities: list[str] = []
        self._seq = 0
        self._state = ""  # as the last join had it

    def __repr__(self) -> str:
        return f"{self.ends} and {self.text!r}"

    def hear(self, event: str, payload: dict[str, Any]) -> None:
        """One message of the task's topic; the first of a connection is the join's reply."""
        if event == "phx_reply":
            self._joined(payload["status"], payload["response"])
        elif event == "phx_close":
            self._closed()
        elif event == "phx_error":
            self._odd("the channel crashed")
        else:
            self._event(event, payload)

    def _joined(self, status: str, response: dict[str, Any]) -> None:
        if status != "ok":
            # There is no such task: without an end it is lost.
            self.done = True
            return
        state, delta, offset = response["task"]["state"], response["delta"], response["offset"]
        if delta and offset != len(self.text):
            self._odd(f"joined with {len(self.text)} characters, told those from {offset} on")
        self.text += delta
        self._seq = response["task"]["seq"]
        self._state = state
        if self.ends and self.ends[-1] != state:
            self._odd(f"the task was {self.ends[-1]} and is {state}")

    def _closed(self) -> None:
        if self._state in END_STATES and not self.ends:
            self._odd("closed without a word of the end")
            self.done = True
        elif self.ends:
            self.done = True

    def _event(self, event: str, payload: dict[str, Any]) -> None:
        if self.done:
            self._odd(f"{event} after the end")
        if event == "rewind":
            if payload["offset"] > len(self.text):
                self._odd(f"{len(self.text)} characters rewound to {payload['offset']}")
            self.text = self.text[: payload["offset"]]
        elif event == "progress":
            if payload["offset"] != len(self.text):
                self._odd(f"text from {payload['offset']} on, but {len(self.text)} are known")
            self.text += payload["delta"]
        elif event in STATE_OF_END:
            self.ends.append(STATE_OF_END[event])
            self.done = True
        self._count(event, payload)

    def _count(self, event: str, payload: dict[str, Any]) -> None:
        """Events are gapless in their order; what repeats the past at a join does not count."""
        seq = payload["seq"]
        repeats = (
            event == "rewind"
            or payload.get("phase") == "catch_up"
            or (event in STATE_OF_END and self._state in END_STATES)
        )
        if payload.get("from_seq", seq) != self._seq + 1 and not (repeats and seq == self._seq):
            self._odd(f"{event} number {seq} follows number {self._seq}")
        self._seq = seq

    def _odd(self, sentence: str) -> None:
        self.oddities.append(sentence)
