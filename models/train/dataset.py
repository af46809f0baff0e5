"""Tokenised documents on disk, and batches of documents of like length.

A round is one file of documents. Training walks through the rounds in order; each row of a batch
is one document, so attention never crosses from one story into another, and positions start at
zero as they do when the model is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

# Rows of a batch are as long as its longest document, rounded up to this.
LENGTH_STEP = 16
# Lengths are shuffled by this share before sorting, so that batches differ from round to round.
LENGTH_JITTER = 0.08


@dataclass(frozen=True, slots=True)
class Document:
    """Text before the answer, which bears no loss, and the answer, which does."""

    source: str
    prefix: str
    answer: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Documents as one array of tokens; document i is tokens[offsets[i]:offsets[i + 1]]."""

    tokens: NDArray[np.uint16]
    # How many tokens at the start of each document bear no loss.
    prefix_lengths: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sources: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.prefix_lengths)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each document."""
        return np.diff(self.offsets)

    def save(self, path: Path) -> None:
        """Write the documents to `path`, whole or not at all."""
        partial = path.with_suffix(".partial.npz")
        np.savez(
            partial,
            tokens=self.tokens,
            prefix_lengths=self.prefix_lengths,
            offsets=self.offsets,
            sources=self.sources,
        )
        partial.rename(path)


def load_dataset(path: Path) -> Dataset:
    """Return the documents saved at `path`."""
    with np.load(path) as arrays:
        return Dataset(**{name: arrays[name] for name in arrays.files})


def tokenise(tokenizer: Tokenizer, documents: Iterable[Document], context: int) -> Dataset:
    """Return the documents that fit into the context, as tokens."""
    documents = list(documents)
    prefixes = tokenizer.encode_batch([document.prefix for document in documents])
    answers = tokenizer.encode_batch([document.answer for document in documents])
    kept: list[NDArray[np.uint16]] = []
    prefix_lengths: list[int] = []
    sources: list[str] = []
    for document, prefix, answer in zip(documents, prefixes, answers, strict=True):
        # One more than the context: the last token is only ever a target.
        if len(prefix.ids) + len(answer.ids) <= context + 1:
            kept.append(np.array(prefix.ids + answer.ids, dtype=np.uint16))
            prefix_lengths.append(len(prefix.ids))
            sources.append(document.source)
    lengths = [len(tokens) for tokens in kept]
    return Dataset(
        tokens=np.concatenate(kept),
        prefix_lengths=np.array(prefix_lengths, dtype=np.int32),
        offsets=np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))),
        sources=np.array(sources),
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of inputs and targets; `weighted` marks the targets that bear loss."""

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    weighted: NDArray[np.bool_]


def plan_batches(dataset: Dataset, tokens_per_batch: int, seed: int) -> list[NDArray[np.int64]]:
    """Return the round's batches as document numbers: like lengths together, order shuffled."""
    rng = Random(seed)
    lengths = dataset.lengths
    keys = {i: lengths[i] * (1 + LENGTH_JITTER * rng.random()) for i in range(len(dataset))}
    batches: list[NDArray[np.int64]] = []
    rows: list[int] = []
    longest = 0
    for i in sorted(keys, key=keys.__getitem__):
        longest = max(longest, _row_length(int(lengths[i])))
        if rows and longest * (len(rows) + 1) > tokens_per_batch:
            batches.append(np.array(rows))
            rows, longest = [], _row_length(int(lengths[i]))
        rows.append(i)
    if rows:
        batches.append(np.array(rows))
    rng.shuffle(batches)
    return batches


def make_batch(dataset: Dataset, rows: NDArray[np.int64]) -> Batch:
    """Return the named documents as one padded batch."""
    longest = max(_row_length(int(dataset.lengths[i])) for i in rows)
    inputs = np.zeros((len(rows), longest), dtype=np.int64)
    targets = np.zeros_like(inputs)
    weighted = np.zeros(inputs.shape, dtype=np.bool_)
    for row, i in enumerate(rows):
        tokens = dataset.tokens[dataset.offsets[i] : dataset.offsets[i + 1]]
        inputs[row, : len(tokens) - 1] = tokens[:-1]
        targets[row, : len(tokens) - 1] = tokens[1:]
        first = max(int(dataset.prefix_lengths[i]) - 1, 0)
        weighted[row, first : len(tokens) - 1] = True
    return Batch(inputs, targets, weighted)


def batches_from(dataset: Dataset, tokens_per_batch: int, seed: int, skip: int) -> Iterator[Batch]:
    """Yield the round's batches in their seeded order, without the first `skip`."""
    for rows in plan_batches(dataset, tokens_per_batch, seed)[skip:]:
        yield make_batch(dataset, rows)


def _row_length(tokens: int) -> int:
    return -(-(tokens - 1) // LENGTH_STEP) * LENGTH_STEP
