"""What the decode loop knows of each sequence besides its tokens: how to sample, what was said."""

from __future__ import annotations

import time
from dataclasses import dataclass

from edge.engine import logprobs
from edge.engine.answering import Plan
from edge.engine.llama import Llama
from edge.engine.messages import Finished, Generate, Output
from edge.engine.sampling import Sampler
from edge.engine.text import TextStream
from edge.errors import InvalidRequest


@dataclass(slots=True)
class Sequence:
    """One running request."""

    request: Generate
    prompt_tokens: int
    sampler: Sampler
    stream: TextStream
    context_tokens: int
    completion: int = 0
    cached_tokens: int = 0
    started_ns: int = 0  # when it got its slot
    decoding_ns: int = 0
    dialect: str = ""
    owed: str = ""
    """Text of resumed tokens that the node does not have yet."""

    @property
    def key(self) -> int:
        return self.request.key

    def take(self, llama: Llama, token: int, index: int) -> tuple[Output, str | None]:
        """The token sampled by the logits of the step's token number `index`: what to tell of it,
        and why the sequence ends with it, if it does."""
        if not self.decoding_ns:
            self.decoding_ns = time.perf_counter_ns()
        if llama.vocabulary.ends(token) and not self.request.sampling.ignore_eos:
            return Output(self.key, self.prompt_tokens, (), self._settle()), "stop"
        self.completion += 1
        lines = self._logprobs(llama, token, index)
        text = self._settle() + self.stream.feed(llama.vocabulary.piece(token))
        output = Output(self.key, self.prompt_tokens, (token,), text, lines)
        if self.stream.stopped:
            return output, "stop"
        return output, "length" if self.is_full else None

    def _logprobs(self, llama: Llama, token: int, index: int) -> tuple[str, ...]:
        alternatives = self.request.sampling.logprobs
        if alternatives is None:
            return ()
        offset = len(self.request.begun) + self.stream.chars
        piece = llama.vocabulary.piece
        return (logprobs.line(llama.logits(index), token, alternatives, offset, piece),)

    @property
    def is_full(self) -> bool:
        """No further token is wanted, or none fits the context."""
        return (
            self.completion >= self.request.sampling.max_tokens
            or self.prompt_tokens + self.completion >= self.context_tokens
        )

    def _settle(self) -> str:
        owed, self.owed = self.owed, ""
        return owed

    def end(self, reason: str) -> Finished:
        """The last word; frees the sampler."""
        self.sampler.close()
        now_ns = time.perf_counter_ns()
        decoding_ns = self.decoding_ns or now_ns
        started_ns = self.started_ns or decoding_ns
        return Finished(
            key=self.key,
            reason=reason,
            text="" if reason == "cancelled" else self._settle() + self.stream.flush(),
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=self.completion,
            prefill_ms=(decoding_ns - started_ns) / 1e6,
            decode_ms=(now_ns - decoding_ns) / 1e6,
        )


def begin(llama: Llama, request: Generate, prompt: tuple[int, ...], plan: Plan) -> Sequence:
    """A sequence, with the tokens of an earlier engine taken in: their text is told only as far as
    the node does not have it. InvalidRequest from a grammar, or from tokens that this model does
    not have."""
    vocabulary, resumed = llama.vocabulary, request.resume_tokens
    if not all(0 <= token < vocabulary.size for token in resumed):
        # llama.cpp ends the process for such a token.
        raise InvalidRequest(
            "this task was begun by another model of the same name and cannot go on in this one;"
            " run it again"
        )
    sampler = Sampler(llama, plan.sampling, plan.begins)
    try:
        stream = TextStream(request.sampling.stop, request.resume_chars)
        sequence = Sequence(
            request, len(prompt), sampler, stream, llama.context_tokens, dialect=plan.dialect
        )
        sampler.read(prompt)
        owed = []
        for token in resumed:
            sampler.accept(token)
            owed.append(stream.feed(vocabulary.piece(token)))
    except BaseException:
        sampler.close()
        raise
    sequence.owed = "".join(owed)
    sequence.completion = len(resumed)
    return sequence
