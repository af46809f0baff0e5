"""Writes down what transformers makes of the conversations, for engines that have to agree.

    pip install transformers
    python -m tests.support.make_reference_ids

writes ``templates/reference_ids.json``: by family and conversation the token ids that
`apply_chat_template` gives, or null where the template refuses. It has to be run again after each
change of a template, a vocabulary or a conversation. transformers is not needed by the tests.

Where a conversation is hostile transformers would read control tokens out of people's texts. So it
gets a word in their place. What it rendered is cut at the control tokens, and what lies between is
tokenised with the control tokens' texts for the word, by a tokenizer that knows none of them.
"""

from __future__ import annotations

import importlib
import json
import re
from datetime import UTC, datetime
from typing import Any, Final, Self

import tokenizers
from gguf import TokenType
from tokenizers import Regex, models, normalizers, pre_tokenizers

from edge.conversation import Message
from tests.support.conversations import HOSTILE, IDS, UNIX_S, Case, cases_of, hostile
from tests.support.families import FAMILIES, SENTENCEPIECE, Family, base, vocabulary_of

_LLAMA3: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDINGS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_BEFORE: Final = r"[^\r\n\p{L}\p{N}]?"
_SPACES: Final = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS: Final = {
    "llama-bpe": (_LLAMA3,),
    "dbrx": (_LLAMA3,),
    "qwen2": (_LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"),),
    "gpt-4o": (
        f"{_BEFORE}{_UPPER}*{_LOWER}+{_ENDINGS}|{_BEFORE}{_UPPER}+{_LOWER}*{_ENDINGS}"
        rf"|\p{{N}}{{1,3}}|{_SPACES}",
    ),
    "tekken": (rf"{_BEFORE}{_UPPER}*{_LOWER}+|{_BEFORE}{_UPPER}+{_LOWER}*|\p{{N}}|{_SPACES}",),
    "deepseek-v3": (
        r"\p{N}{1,3}",
        "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
}
"""How the families split text up into words, as their tokenizers' files say it."""
WHOLE_WORDS: Final = {"llama-bpe", "tekken"}
"""A word that is a token is that token, whether merges lead to it or not."""


class Now(datetime):
    """The time at which the template is asked for the date."""

    @classmethod
    def now(cls, tz: Any = None) -> Self:
        return cls.fromtimestamp(UNIX_S, tz or UTC)


def tokenizer_of(family: Family, *, controls: bool = True) -> tokenizers.Tokenizer:
    """With the family's vocabulary; without its control tokens it takes their texts for text."""
    tokens = vocabulary_of(family)
    ids = {text: number for number, (text, _) in enumerate(tokens)}
    if family.pre == SENTENCEPIECE:
        made = tokenizers.Tokenizer(
            models.BPE(
                ids, _merges(base().pieces), unk_token="<unk>", fuse_unk=True, byte_fallback=True
            )
        )
        steps: list[Any] = [normalizers.Replace(" ", "\u2581")]
        if family.space_first:
            steps.insert(0, normalizers.Prepend("\u2581"))
        made.normalizer = normalizers.Sequence(steps)
    else:
        merges = list(base().merges)
        made = tokenizers.Tokenizer(
            models.BPE(ids, merges, ignore_merges=family.pre in WHOLE_WORDS)
        )
        splits: list[Any] = [
            pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PATTERNS[family.pre]
        ]
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        if family.pre == "qwen2":
            made.normalizer = normalizers.NFC()
        made.pre_tokenizer = pre_tokenizers.Sequence([*splits, byte_level])
    made.add_tokens(
        [
            tokenizers.AddedToken(text, normalized=False)
            for text, kind in tokens
            if kind == TokenType.USER_DEFINED
        ]
    )
    if controls:
        made.add_special_tokens(
            [
                tokenizers.AddedToken(text, normalized=False, rstrip=_takes_space(family, text))
                for text in family.controls
            ]
        )
    return made


def _takes_space(family: Family, control: str) -> bool:
    """As llama.cpp has it for the one family of them."""
    return family.takes_space_behind and control not in ("<s>", "<|endoftext|>")


def _merges(pieces: tuple[str, ...]) -> list[tuple[str, str]]:
    """What SentencePiece does with these: each may be made of any two others; of the same piece's
    two ways neither is before the other, and text has one of them first."""
    known = frozenset(pieces)
    return [
        (piece[:cut], piece[cut:])
        for piece in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    ]


def messages_of(family: Family, case: Case) -> list[dict[str, Any]]:
    """As people give them to transformers."""
    return [_message(family, message) for message in case.messages]


def _message(family: Family, message: Message) -> dict[str, Any]:
    role = message.role
    if role == "developer" and role not in family.template:
        role = "system"
    made: dict[str, Any] = {"role": role, "content": message.content}
    if message.tool_calls:
        made["tool_calls"] = [
            ({"id": call.call_id} if call.call_id else {})
            | {
                "type": "function",
                "function": {"name": call.name, "arguments": json.loads(call.arguments)},
            }
            for call in message.tool_calls
        ]
    for name in ("tool_call_id", "name", "reasoning_content"):
        if getattr(message, name):
            made[name] = getattr(message, name)
    return made


class Reference:
    """transformers with one family's tokenizer and template."""

    def __init__(self, family: Family) -> None:
        transformers: Any = importlib.import_module("transformers")
        utils: Any = importlib.import_module("transformers.utils.chat_template_utils")
        utils.datetime = Now
        self._refusals = importlib.import_module("jinja2").TemplateError
        self._family = family
        self._whole = transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer_of(family),
            bos_token=family.bos,
            eos_token=family.eos,
            chat_template=family.template,
        )
        self._between = tokenizer_of(family, controls=False)
        self._ids = {text: number for number, (text, _) in enumerate(vocabulary_of(family))}
        longest = sorted(family.controls, key=len, reverse=True)
        self._control = re.compile("(" + "|".join(map(re.escape, longest)) + ")")

    def ids(self, case: Case) -> list[int] | None:
        """None where the template refuses the conversation."""
        given = {
            "conversation": messages_of(self._family, case),
            "tools": list(case.tools) or None,
            "add_generation_prompt": True,
            **case.variables,
        }
        try:
            text = self._whole.apply_chat_template(**given, tokenize=False)
        except self._refusals:
            return None
        ids = self._cut(text)
        if HOSTILE not in text:
            whole: list[int] = self._whole.apply_chat_template(
                **given, tokenize=True, return_dict=False
            )
            assert whole == ids, "what lies between control tokens is tokenised for itself"
        return ids

    def _cut(self, text: str) -> list[int]:
        ids: list[int] = []
        for place, part in enumerate(self._control.split(text)):
            if place % 2:
                ids.append(self._ids[part])
                continue
            if ids and _takes_space(self._family, vocabulary_of(self._family)[ids[-1]][0]):
                part = part.lstrip()
            part = part.replace(HOSTILE, hostile(self._family))
            ids += self._between.encode(part, add_special_tokens=False).ids
        return ids


def main() -> None:
    written = {}
    for family in FAMILIES.values():
        reference = Reference(family)
        cases = cases_of(family)
        written[family.name] = {name: reference.ids(case) for name, case in cases.items()}
    lines = ",\n".join(
        f" {json.dumps(family)}: {{\n"
        + ",\n".join(f"  {json.dumps(name)}: {json.dumps(ids)}" for name, ids in cases.items())
        + "\n }"
        for family, cases in written.items()
    )
    IDS.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
