"""The chain of samplers of one sequence."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import llama_cpp as api
import numpy as np
from numpy.typing import NDArray

from edge.answers.begins import AT_ONCE, Begins, Lookout
from edge.engine.candidates import LARGE_VOCABULARY, allows
from edge.engine.dry import Kind
from edge.engine.llama import Llama
from edge.engine.messages import NOT_BESIDE_A_GRAMMAR, Sampling
from edge.engine.recent import RecentTokens
from edge.engine.text import Characters
from edge.engine.vocabulary import Vocabulary
from edge.errors import InvalidRequest
from edge.structured.grammar import Rule, Text, gbnf
from edge.structured.grammar import sequence as series

GRAMMAR_CHARS_MAX: Final = 131_072
"""The longest known, of JSON schemas with hundreds of fields, have half of that."""
GRAMMAR_DEPTH_MAX: Final = 1_000
"""10,000 were fine with a stack of 8 MiB, 20,000 the end."""

TEMPERATURE_MIN: Final = 0.001
"""Below, a logit divided by it may be more than a float can say, and the likeliest token has all
the probability anyway."""
POSSIBLE_SHARE: Final = 1e-30
"""With less than this share of the likeliest token's probability a token is not possible. The
probability of any other is above 0 as a float, whatever the size of the vocabulary."""
FEW: Final = 128
"""So many of the likeliest tokens, and no more, are looked for before a chain has them."""
MIROSTAT_TOKENS: Final = 100
"""From how many of the likeliest mirostat 1 guesses at the rest (Basu et al. 2021, section 4)."""


class Sampler:
    """A llama.cpp sampler chain for one sequence, and its grammar, from where that `begins`;
    `close` frees them, once."""

    def __init__(self, llama: Llama, sampling: Sampling, begins: Begins = AT_ONCE) -> None:
        self.chain: Any = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
        self._sampling = sampling
        self._said = 0
        self._lookback = 0
        self._looking_back: list[Any] = []
        self._recent: RecentTokens | None = None
        self._grammar: Any = None
        self._lookout: Lookout | None = None  # until the grammar begins
        self._vocabulary = llama.vocabulary
        self._characters = Characters()
        try:
            if begins.marks:
                _refuse_beside_grammar(sampling)
                self._lookout = Lookout(begins)
            else:
                self._grammar = _grammar_link(llama, sampling, begins.root)
            self._penalise(llama, sampling)
            for link in _choice(llama, sampling):
                self._add(link)
            self._among = _among(llama, sampling)
            if self._among and self._looking_back:
                self._recent = RecentTokens(self._lookback)
            self._draws_by_place = sampling.seed is not None and _draws(sampling)
            if _draws(sampling):
                self._add(_draw(sampling, 0))
        except BaseException:
            self.close()
            raise

    def _add(self, link: Any) -> None:
        api.llama_sampler_chain_add(self.chain, link)

    def _penalise(self, llama: Llama, sampling: Sampling) -> None:
        """What acts on the logits before anything is left out, in llama.cpp's own order."""
        biases = _biases(llama, sampling)
        self._biased = np.fromiter(biases, np.int32, len(biases))
        if biases:
            self._add(_bias_link(llama, biases))
        for tokens, init in (
            (sampling.repeat_last_n, _penalties_link),
            (sampling.dry_penalty_last_n, _dry_link),
        ):
            # More than the context can't be looked back at, but would have its room.
            lookback = min(llama.context_tokens, llama.context_tokens if tokens < 0 else tokens)
            link = init(llama, sampling, lookback) if lookback else None
            if link is not None:
                self._add(link)
                self._looking_back.append(link)
                self._lookback = max(self._lookback, lookback)

    def read(self, prompt: Sequence[int]) -> None:
        """The prompt, which the penalties see, but no grammar."""
        if self._looking_back:
            for token in prompt[-self._lookback :]:
                for link in self._looking_back:
                    api.llama_sampler_accept(link, token)
        if self._recent is not None:
            self._recent.add(prompt[-self._lookback :])

    def accept(self, token: int) -> None:
        """This token was chosen before, by another chain."""
        api.llama_sampler_accept(self.chain, token)
        self._begin_grammar(token)
        if self._grammar is not None:
            api.llama_sampler_accept(self._grammar, token)
            self._characters.take(self._vocabulary.piece(token))
        elif self._lookout is not None:
            piece = self._vocabulary.piece(token)
            self._lookout.take(piece)
            self._characters.take(piece)
        if self._recent is not None:
            self._recent.add((token,))
        self._said += 1

    def sample(self, llama: Llama, index: int) -> int:
        """The next token, by the logits of the step's token number `index`."""
        if self._draws_by_place:
            last = api.llama_sampler_chain_n(self.chain) - 1
            api.llama_sampler_free(api.llama_sampler_chain_remove(self.chain, last))
            self._add(_draw(self._sampling, self._said))
        if self._grammar is None and self._lookout is None and not self._among:
            self._said += 1
            return llama.sample(self.chain, index)
        token = self._unbound(llama, llama.logits(index))
        self._begin_grammar(token)
        if self._grammar is not None:
            token = self._allowed(llama, index, token)
        self.accept(token)
        return token

    def _begin_grammar(self, token: int) -> None:
        """Where this token makes a mark whole, it has to follow the grammar, too: behind the mark
        it may already go on."""
        if self._lookout is None:
            return
        found = self._lookout.look(self._vocabulary.piece(token))
        if found is None:
            return
        begins = gbnf({"begins": series(Text(found.end), Rule(found.rule))})
        assert self._sampling.grammar is not None, "it begins somewhere"
        grammar = begins + self._sampling.grammar
        self._grammar = _link(self._vocabulary, grammar, "begins")
        self._lookout = None

    def _allowed(self, llama: Llama, index: int, token: int) -> int:
        """This token, which would be taken anyway, or another that the grammar allows. That one
        mostly is. To ask about all of them instead takes a hundred times as long: 12 ms, measured
        with an object's schema and the 49,152 tokens of SmolLM2."""
        logits = llama.logits(index)
        if allows(self._grammar, token) and self._well_formed(token):
            return token
        token = llama.candidates.take(self.chain, logits, self._grammar)
        while not self._well_formed(token) and np.isfinite(logits[token]):
            logits = logits.copy()
            logits[token] = float("-inf")
            token = llama.candidates.take(self.chain, logits, self._grammar)
        return token

    def _well_formed(self, token: int) -> bool:
        """Whether the text goes on as UTF-8. llama.cpp takes a character that is written in too
        many bytes for that character, of which readers make several others. Only tokens of single
        bytes come to that."""
        return self._characters.fit(self._vocabulary.piece(token))

    def _unbound(self, llama: Llama, logits: NDArray[np.float32]) -> int:
        """What the chain takes without a grammar."""
        if not self._among:
            return llama.candidates.take(self.chain, logits)
        return llama.candidates.take_among(self.chain, logits, self._among, self._changed())

    def _changed(self) -> NDArray[np.int32]:
        """The tokens whose logits the chain may change before it leaves any out. DRY and the
        penalties look at no others than those that were there lately."""
        if self._recent is None:
            return self._biased
        recent = self._recent.different
        return np.union1d(recent, self._biased) if len(self._biased) else recent

    def close(self) -> None:
        """Frees the chain and all its links."""
        if self.chain is not None:
            api.llama_sampler_free(self.chain)
            self.chain = None
        if self._grammar is not None:
            api.llama_sampler_free(self._grammar)
            self._grammar = None


def _among(llama: Llama, sampling: Sampling) -> int:
    """Among how many of the likeliest tokens the chain chooses, where it pays to know them before;
    0 where it does not, or where it chooses among all."""
    if llama.vocabulary.size < LARGE_VOCABULARY:
        return 0
    if sampling.temperature < TEMPERATURE_MIN:
        return 1
    return sampling.top_k if sampling.top_k <= FEW and not sampling.mirostat else 0


def _grammar_link(llama: Llama, sampling: Sampling, root: str) -> Any:
    if sampling.grammar is None:
        return None
    _refuse_beside_grammar(sampling)
    _check(sampling.grammar)
    return _link(llama.vocabulary, sampling.grammar, root)


def _link(vocabulary: Vocabulary, grammar: str, root: str) -> Any:
    text, name = grammar.encode(), root.encode()
    link = api.llama_sampler_init_grammar(vocabulary.pointer, text, name)
    if not link:
        raise InvalidRequest("the grammar cannot be read", field="response_format")
    return link


def _refuse_beside_grammar(sampling: Sampling) -> None:
    for name in NOT_BESIDE_A_GRAMMAR:
        if getattr(sampling, name):
            raise InvalidRequest(
                f"{name} cannot be combined with a grammar; leave one of them out", field=name
            )


def _biases(llama: Llama, sampling: Sampling) -> dict[int, float]:
    biases = dict(sampling.logit_bias)
    size = llama.vocabulary.size
    for token in biases:
        if not 0 <= token < size:
            raise InvalidRequest(
                f"logit_bias names token {token}, and this model's tokens are 0 to {size - 1}",
                field="logit_bias",
            )
    if sampling.ignore_eos:
        biases |= dict.fromkeys(llama.vocabulary.end_tokens, float("-inf"))
    return biases


def _bias_link(llama: Llama, biases: dict[int, float]) -> Any:
    array = (api.llama_logit_bias * len(biases))()
    for bias, (token, value) in zip(array, biases.items(), strict=True):
        bias.token, bias.bias = token, value
    return api.llama_sampler_init_logit_bias(llama.vocabulary.size, len(biases), array)


def _penalties_link(llama: Llama, sampling: Sampling, lookback: int) -> Any:
    penalties = (
        sampling.repeat_penalty,
        sampling.frequency_penalty,
        sampling.presence_penalty,
    )
    if penalties == (1, 0, 0):
        return None
    return api.llama_sampler_init_penalties(llama.vocabulary.size, lookback, *penalties)


def _dry_link(llama: Llama, sampling: Sampling, lookback: int) -> Any:
    if sampling.dry_multiplier <= 0:
        return None
    return llama.dry.make(
        Kind(
            sampling.dry_multiplier,
            sampling.dry_base,
            sampling.dry_allowed_length,
            lookback,
            sampling.dry_sequence_breakers,
        )
    )


def _choice(llama: Llama, sampling: Sampling) -> list[Any]:
    """What leaves tokens out, in llama.cpp's own order. The last one takes one of the others, if
    that is not for `_draw`."""
    if sampling.temperature < TEMPERATURE_MIN:
        return [api.llama_sampler_init_greedy()]
    if sampling.mirostat:
        return _mirostat(llama, sampling)
    links = []
    if sampling.top_k > 0:
        links.append(api.llama_sampler_init_top_k(sampling.top_k))
    if sampling.typical_p < 1 or sampling.xtc_probability > 0:
        links.append(_possible_link())
    if sampling.typical_p < 1:
        links.append(api.llama_sampler_init_typical(sampling.typical_p, 1))
    if sampling.top_p < 1:
        links.append(api.llama_sampler_init_top_p(sampling.top_p, 1))
    if sampling.min_p > 0:
        links.append(api.llama_sampler_init_min_p(sampling.min_p, 1))
    return links


def _mirostat(llama: Llama, sampling: Sampling) -> list[Any]:
    """It learns from what it took, so that a resume begins to learn anew."""
    seed = api.LLAMA_DEFAULT_SEED if sampling.seed is None else sampling.seed
    seed, size = ctypes.c_uint32(seed).value, llama.vocabulary.size
    tau, eta = sampling.mirostat_tau, sampling.mirostat_eta
    return [
        api.llama_sampler_init_temp(sampling.temperature),
        _possible_link(),
        api.llama_sampler_init_mirostat(size, seed, tau, eta, MIROSTAT_TOKENS)
        if sampling.mirostat == 1
        else api.llama_sampler_init_mirostat_v2(seed, tau, eta),
    ]


def _possible_link() -> Any:
    """Leaves out what is not possible, as what no grammar allows. Typical and mirostat would take
    the logarithm of its probability, and XTC would take it for the last of the likely."""
    return api.llama_sampler_init_min_p(POSSIBLE_SHARE, 1)


def _draws(sampling: Sampling) -> bool:
    """Whether `_draw` takes the token."""
    return sampling.temperature >= TEMPERATURE_MIN and not sampling.mirostat


def _draw(sampling: Sampling, place: int) -> Any:
    """What takes a token by chance. With a seed each place in the text has a chance of its own, for
    how many random numbers were drawn before nobody knows who resumes: XTC draws none where one
    token is left, and a refusal by a grammar has one drawn again."""
    chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
    if sampling.xtc_probability > 0:
        seed = _seed(sampling, place, b"xtc")
        chance, threshold = sampling.xtc_probability, sampling.xtc_threshold
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_xtc(chance, threshold, 1, seed))
    api.llama_sampler_chain_add(chain, api.llama_sampler_init_temp(sampling.temperature))
    seed = _seed(sampling, place, b"token")
    api.llama_sampler_chain_add(chain, api.llama_sampler_init_dist(seed))
    return chain


def _seed(sampling: Sampling, place: int, what: bytes) -> int:
    """Of 32 bits, as unlike those of other places and of other choices as can be: the same number
    for two choices would make the one say what the other is."""
    if sampling.seed is None:
        return int(api.LLAMA_DEFAULT_SEED)  # which means any
    text = b"%d %d %s" % (sampling.seed, place, what)
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "little") % int(api.LLAMA_DEFAULT_SEED)


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
