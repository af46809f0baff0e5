"""The Llama architecture in PyTorch, as llama.cpp computes it.

RMSNorm before each sublayer, rotary positions, SwiGLU, no biases, output tied to the embedding.
Rotary pairs are (i, i + d/2) here, which is fast; `export` reorders the rows of Q and K to
llama.cpp's (2i, 2i + 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

LAST_GAIN = 0.02


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of the model; every width divides by 32 so that Q8_0 can hold it."""

    vocabulary: int = 4096
    width: int = 256
    layers: int = 6
    heads: int = 4
    feed_forward: int = 640
    context: int = 512
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


class RMSNorm(nn.Module):
    """Root-mean-square normalisation with a learned gain."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` scaled to unit mean square, times the gain, in x's own type."""
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return (wide * scale * self.weight).to(x.dtype)


class Attention(nn.Module):
    """Causal self-attention with rotary positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q = nn.Linear(config.width, config.width, bias=False)
        self.k = nn.Linear(config.width, config.width, bias=False)
        self.v = nn.Linear(config.width, config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """Return the attended values; rows of the batch never see each other."""
        rows, length, width = x.shape
        shape = (rows, length, self.heads, width // self.heads)
        q = rotate(self.q(x).view(shape).transpose(1, 2), cosines, sines)
        k = rotate(self.k(x).view(shape).transpose(1, 2), cosines, sines)
        v = self.v(x).view(shape).transpose(1, 2)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        result: Tensor = self.out(attended.transpose(1, 2).reshape(rows, length, width))
        return result


class FeedForward(nn.Module):
    """The SwiGLU sublayer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.feed_forward, bias=False)
        self.up = nn.Linear(config.width, config.feed_forward, bias=False)
        self.down = nn.Linear(config.feed_forward, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return down(silu(gate(x)) * up(x))."""
        result: Tensor = self.down(functional.silu(self.gate(x)) * self.up(x))
        return result


class Block(nn.Module):
    """One transformer layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm_epsilon)
        self.attention = Attention(config)
        self.feed_forward_norm = RMSNorm(config.width, config.norm_epsilon)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """Return `x` with both sublayers' results added."""
        x = x + self.attention(self.attention_norm(x), cosines, sines)
        x = x + self.feed_forward(self.feed_forward_norm(x))
        return x


class Storyteller(nn.Module):
    """The whole model: token ids in, hidden states or logits out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_epsilon)
        cosines, sines = rotary_tables(config)
        self.cosines: Tensor
        self.sines: Tensor
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        # The embedding must not drown in what the layers add, or later layers cannot tell the
        # tokens apart, and copying a name is learned late or never. So it starts at unit size,
        # and the last gain is small: a larger one would begin by predicting each token again.
        nn.init.normal_(self.embedding.weight, std=1.0)
        nn.init.constant_(self.norm.weight, LAST_GAIN)
        for block in self.blocks:
            assert isinstance(block, Block)
            for linear in block.modules():
                if isinstance(linear, nn.Linear):
                    nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
            # Each layer starts as the identity: the deep model trains as calmly as a shallow one.
            nn.init.zeros_(block.attention.out.weight)
            nn.init.zeros_(block.feed_forward.down.weight)

    def compile_layers(self) -> None:
        """Have `hidden` compiled for any number of rows and any length."""
        self.hidden = torch.compile(self.hidden, dynamic=True)  # type: ignore[method-assign]

    def hidden(self, tokens: Tensor) -> Tensor:
        """Return the normalised last hidden states for `tokens` of shape (rows, length)."""
        length = tokens.shape[1]
        assert length <= self.config.context, "a row is longer than the context"
        cosines, sines = self.cosines[:length], self.sines[:length]
        x = self.embedding(tokens)
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        for block in self.blocks:
            x = block(x, cosines, sines)
        result: Tensor = self.norm(x)
        return result

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of every next token."""
        return functional.linear(self.hidden(tokens), self.embedding.weight)


def rotary_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of shape (context, head width / 2)."""
    half = config.head_width // 2
    frequencies = config.rope_base ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.outer(torch.arange(config.context, dtype=torch.float64), frequencies)
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Return `x` (rows, heads, length, head width) turned by its positions."""
    left, right = x.chunk(2, dim=-1)
    cosines, sines = cosines.to(x.dtype), sines.to(x.dtype)
    return torch.cat((left * cosines - right * sines, right * cosines + left * sines), dim=-1)
