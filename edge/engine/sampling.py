"""The chain of samplers of one sequence."""

from __future__ import annotations

import ctypes
from typing import Any, Final

import llama_cpp as api

from edge.engine.llama import Llama
from edge.engine.messages import Sampling
from edge.errors import InvalidRequest

GRAMMAR_CHARS_MAX: Final = 131_072
"""The longest known, of JSON schemas with hundreds of fields, have half of that."""
GRAMMAR_DEPTH_MAX: Final = 1_000
"""10,000 were fine with a stack of 8 MiB, 20,000 the end."""


class Sampler:
    """A llama.cpp sampler chain for one sequence; `close` frees it, once."""

    def __init__(self, llama: Llama, sampling: Sampling) -> None:
        self.chain: Any = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
        try:
            for link in _links(llama, sampling):
                api.llama_sampler_chain_add(self.chain, link)
        except BaseException:
            self.close()
            raise

    def accept(self, token: int) -> None:
        """This token was chosen before, by another chain."""
        api.llama_sampler_accept(self.chain, token)

    def close(self) -> None:
        """Frees the chain and all its links."""
        if self.chain is not None:
            api.llama_sampler_free(self.chain)
            self.chain = None


def _links(llama: Llama, sampling: Sampling) -> list[Any]:
    links = []
    grammar = _grammar(sampling)
    if grammar is not None and sampling.ignore_eos:
        # Once the grammar is complete only an end is allowed, and none could be sampled.
        raise InvalidRequest(
            "ignore_eos cannot be combined with a grammar; leave one of them out",
            field="ignore_eos",
        )
    if grammar is not None:
        _check(grammar)
        link = api.llama_sampler_init_grammar(llama.vocabulary.pointer, grammar.encode(), b"root")
        if not link:
            raise InvalidRequest("the grammar cannot be read", field="response_format")
        links.append(link)
    if sampling.ignore_eos:
        ends = llama.vocabulary.end_tokens
        biases = (api.llama_logit_bias * len(ends))()
        for bias, token in zip(biases, ends, strict=True):
            bias.token, bias.bias = token, float("-inf")
        links.append(api.llama_sampler_init_logit_bias(llama.vocabulary.size, len(ends), biases))
    if sampling.temperature <= 0:
        return [*links, api.llama_sampler_init_greedy()]
    if sampling.top_k > 0:
        links.append(api.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p < 1:
        links.append(api.llama_sampler_init_top_p(sampling.top_p, 1))
    if sampling.min_p > 0:
        links.append(api.llama_sampler_init_min_p(sampling.min_p, 1))
    links.append(api.llama_sampler_init_temp(sampling.temperature))
    seed = api.LLAMA_DEFAULT_SEED if sampling.seed is None else sampling.seed
    links.append(api.llama_sampler_init_dist(ctypes.c_uint32(seed).value))
    return links


def _check(grammar: str) -> None:
    """llama.cpp reads a grammar by recursion, for each bracket and each rule within another, ends
    the process where the stack ends, and reads no further than to a NUL."""
    depth = deepest = 0
    for char in grammar:
        # Those within quotes are taken for brackets too: so many of them are no grammar either.
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)
    if len(grammar) > GRAMMAR_CHARS_MAX or deepest > GRAMMAR_DEPTH_MAX or "\0" in grammar:
        raise InvalidRequest(
            f"the grammar may have {GRAMMAR_CHARS_MAX} characters, none of them NUL, and"
            f" {GRAMMAR_DEPTH_MAX} brackets within each other; make it simpler",
            field="response_format",
        )


def _grammar(sampling: Sampling) -> str | None:
    if sampling.json_schema is None:
        return sampling.grammar
    from llama_cpp.llama_grammar import json_schema_to_gbnf  # only where a schema is asked for

    try:
        grammar: str = json_schema_to_gbnf(sampling.json_schema)
    except Exception as error:
        raise InvalidRequest(
            f"this JSON schema cannot be turned into a grammar: {error}", field="response_format"
        ) from error
    return grammar
