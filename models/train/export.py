"""Writes the trained model as GGUF, with its tokenizer and chat template, and its reference.

    python -m models.train.export --work DIR --out models

leaves `elwift-tiny-f16.gguf` in the work directory, `elwift-tiny.gguf` (Q8_0) and
`manifest.toml` in `--out`, and PyTorch's own figures in `--reference`, which llama.cpp's are
compared with.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn import functional

from models.train.chat import (
    CHAT_TEMPLATE,
    END_OF_TEXT,
    SPECIAL_TOKENS,
    TURN_END,
    prompt_text,
)
from models.train.dataset import load_dataset
from models.train.manifest import write_manifest
from models.train.model import ModelConfig, Storyteller
from models.train.prepare import TOKENIZER_FILE, VALIDATION_FILE
from models.train.tokenizer import load_tokenizer
from models.train.train import CHECKPOINT_FILE, load_trainer, source_losses

MODEL_NAME = "elwift-tiny"
LICENCE = "Apache-2.0"
GREEDY_TOKENS = 32
VALIDATION_TOKENS_MAX = 40_000
GREEDY_REQUESTS = (
    "Tell me a story about a boy and a red boat",
    "Write a story about a fox and a lantern.",
    "Tell me a story about a cat and a drum.",
    "Can you tell me about an old woman and a goose?",
)
# Where tokenizers tend to differ: spaces, digits, contractions, other scripts, emoji, control.
TOKENISED_TEXTS = (
    "",
    " ",
    "  two spaces   and three",
    "\n\n\tA tab, \r\nand line ends \n \n",
    "It's the fox's lantern, isn't it? I'll say we've 12345 of them!!!",
    "CAFÉ naïve Straße ñandú Ωμέγα Привет",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u3053\u3093\u306b\u3061\u306f \uc548\ub155",
    "\U0001f98a\U0001f3ee \U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
    "\x00\x01\x1b[0m\x7f",
    "x = {'a': [1, 2.50], \"b\": None}  # code",
    prompt_text("Tell me a story about a boy and a red boat", "You are a storyteller."),
)
# Written for this purpose, and so in nobody's training text.
PASSAGE_REQUEST = "Tell me a story about a goat and a yellow ladder."
PASSAGE = """Once upon a time, there was a small goat who lived next to a windmill. He had a \
yellow ladder, and every evening he climbed up to see where the sun went.

One evening, a tired swallow sat down beside him. "May I rest here?" asked the swallow. "My wings \
are heavy from the rain." The goat moved over. "There is room for two," he said.

They watched the sun go down behind the hills. The swallow told him about the sea and the long \
road in the sky. In the morning she had to fly on, but she promised to come back.

When spring came, the goat put the yellow ladder against the wall and waited. At last he heard a \
soft voice. "Is there still room for two?" it asked. And of course there was."""


def tensor_arrays(model: Storyteller) -> dict[str, NDArray[np.float32]]:
    """Return the weights under llama.cpp's names, Q and K in its order of rotary pairs."""
    names = {
        "attention.q": "attn_q",
        "attention.k": "attn_k",
        "attention.v": "attn_v",
        "attention.out": "attn_output",
        "attention_norm": "attn_norm",
        "feed_forward.gate": "ffn_gate",
        "feed_forward.up": "ffn_up",
        "feed_forward.down": "ffn_down",
        "feed_forward_norm": "ffn_norm",
    }
    arrays = {}
    for name, parameter in model.named_parameters():
        array = parameter.detach().float().numpy()
        if name == "embedding.weight":
            arrays["token_embd.weight"] = array
        elif name == "norm.weight":
            arrays["output_norm.weight"] = array
        else:
            _, layer, part = name.removesuffix(".weight").split(".", 2)
            if part in {"attention.q", "attention.k"}:
                array = interleave_pairs(array, model.config.heads)
            arrays[f"blk.{layer}.{names[part]}.weight"] = array
    return arrays


def interleave_pairs(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Return the rows reordered from pairs (i, i + d/2) to pairs (2i, 2i + 1) in each head."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def write_gguf(
    path: Path, model: Storyteller, tokenizer: Tokenizer, kind: gguf.GGMLQuantizationType
) -> None:
    """Write the model in F16 or Q8_0; the gains stay in F32, as llama.cpp wants them."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(MODEL_NAME)
    writer.add_author("The Elwift Edge project")
    writer.add_description("A tiny storyteller, trained from scratch.")
    writer.add_license(LICENCE)
    writer.add_languages(["en"])
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.feed_forward)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.heads)
    writer.add_rope_dimension_count(config.head_width)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_vocab_size(config.vocabulary)
    is_q8 = kind == gguf.GGMLQuantizationType.Q8_0
    file_type = gguf.LlamaFileType.MOSTLY_Q8_0 if is_q8 else gguf.LlamaFileType.MOSTLY_F16
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tokenizer(writer, tokenizer)
    for name, array in tensor_arrays(model).items():
        if array.ndim == 1:
            writer.add_tensor(name, array)
        else:
            writer.add_tensor(name, gguf.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    saved: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    pieces = sorted(saved["vocab"], key=saved["vocab"].__getitem__)
    kinds = [
        gguf.TokenType.CONTROL if piece in SPECIAL_TOKENS else gguf.TokenType.NORMAL
        for piece in pieces
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(pieces)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in saved["merges"]])
    end_of_text, turn_end = saved["vocab"][END_OF_TEXT], saved["vocab"][TURN_END]
    writer.add_bos_token_id(end_of_text)
    writer.add_pad_token_id(end_of_text)
    writer.add_eos_token_id(turn_end)
    writer.add_eot_token_id(turn_end)
    # A chat begins with its first turn, in training as in use.
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


@torch.no_grad()
def make_reference(model: Storyteller, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return PyTorch's figures: log-probabilities of the passage, greedy answers."""
    prefix = tokenizer.encode(prompt_text(PASSAGE_REQUEST)).ids
    tokens = prefix + tokenizer.encode(PASSAGE + TURN_END).ids
    logits = model(torch.tensor([tokens[:-1]]))[0].double()
    scores = functional.log_softmax(logits, dim=-1)
    chosen = scores[torch.arange(len(tokens) - 1), torch.tensor(tokens[1:])]
    log_probabilities = [round(value, 6) for value in chosen[len(prefix) - 1 :].tolist()]
    return {
        "request": PASSAGE_REQUEST,
        "passage": PASSAGE,
        "tokens": tokens,
        "prefix_length": len(prefix),
        "log_probabilities": log_probabilities,
        "loss": -sum(log_probabilities) / len(log_probabilities),
        "tokenised": [
            {"text": text, "tokens": tokenizer.encode(text).ids} for text in TOKENISED_TEXTS
        ],
        "greedy": [_greedy(model, tokenizer, request) for request in GREEDY_REQUESTS],
    }


def _greedy(model: Storyteller, tokenizer: Tokenizer, request: str) -> dict[str, Any]:
    prompt = tokenizer.encode(prompt_text(request)).ids
    tokens, margins = list(prompt), []
    for _ in range(GREEDY_TOKENS):
        top = model(torch.tensor([tokens]))[0, -1].topk(2)
        tokens.append(int(top.indices[0]))
        margins.append(round(float(top.values[0] - top.values[1]), 5))
    return {
        "request": request,
        "prompt": prompt,
        "tokens": tokens[len(prompt) :],
        "margins": margins,
    }


def words_per_piece(tokenizer: Tokenizer, dataset: Any, source: str) -> float:
    """Return how many words an average piece of the source's answers makes."""
    words, pieces = 0, 0
    for i in np.flatnonzero(dataset.sources == source):
        tokens = dataset.tokens[dataset.offsets[i] : dataset.offsets[i + 1]]
        answer = tokens[int(dataset.prefix_lengths[i]) :].tolist()
        words += len(tokenizer.decode(answer).split())
        pieces += len(answer)
    return words / pieces


def validation_table(
    model: Storyteller, tokenizer: Tokenizer, path: Path
) -> dict[str, dict[str, float]]:
    """Return per source the loss a piece and the perplexity a word on held-out text."""
    dataset = load_dataset(path)
    table = {}
    for source, loss in source_losses(model, dataset, VALIDATION_TOKENS_MAX).items():
        rate = words_per_piece(tokenizer, dataset, source)
        perplexity = float(np.exp(loss / rate))
        table[source] = {"loss_per_piece": loss, "perplexity_per_word": perplexity}
    return table


def load_model(path: Path, weights: str) -> tuple[Storyteller, dict[str, float]]:
    """Return the checkpoint's model, with its last or its averaged weights, and its progress."""
    trainer = load_trainer(path)
    model = Storyteller(ModelConfig(**_config(trainer.model.config)))
    state = dict(trainer.model.state_dict())
    if weights == "average":
        state.update(trainer.average)
    model.load_state_dict(state)
    return model.eval(), trainer.progress()


def _config(config: ModelConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in ModelConfig.__dataclass_fields__}


def main(arguments: Sequence[str] | None = None) -> None:
    """Export the checkpoint."""
    parser = argparse.ArgumentParser(description="Export the trained model.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--weights", choices=("last", "average"), default="last")
    options = parser.parse_args(arguments)
    model, progress = load_model(options.work / CHECKPOINT_FILE, options.weights)
    tokenizer = load_tokenizer(options.work / TOKENIZER_FILE)
    shipped = options.out / f"{MODEL_NAME}.gguf"
    f16 = options.work / f"{MODEL_NAME}-f16.gguf"
    write_gguf(f16, model, tokenizer, gguf.GGMLQuantizationType.F16)
    write_gguf(shipped, model, tokenizer, gguf.GGMLQuantizationType.Q8_0)
    options.reference.write_text(json.dumps(make_reference(model, tokenizer), indent=1) + "\n")
    table = validation_table(model, tokenizer, options.work / VALIDATION_FILE)
    for source, row in table.items():
        figures = f"{row['loss_per_piece']:.3f} {row['perplexity_per_word']:8.1f}"
        sys.stdout.write(f"{source:12} {figures}\n")
    write_manifest(
        options.out / "manifest.toml",
        file=shipped,
        sha256=hashlib.sha256(shipped.read_bytes()).hexdigest(),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        context=model.config.context,
        tokens_trained=int(progress["tokens_seen"]),
        minutes_trained=round(progress["seconds"] / 60),
        losses={source: row["loss_per_piece"] for source, row in table.items()},
    )


if __name__ == "__main__":
    main()
