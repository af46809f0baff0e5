"""A real sentence encoder: what means nearly the same is near. Skipped where it is not installed:
no extra can bring it without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import tokenizers

from tests.support.embedding_worker import Worker, rows
from tests.support.minilm import MISSING, folder, write_minilm

FOLDER = folder()
pytestmark = pytest.mark.skipif(FOLDER is None, reason=MISSING)
QUESTION = "How do I get my money back?"
ANSWERS = (
    "Refunds are paid within a week of the return.",
    "Our office is closed on Sundays.",
    "The cat sleeps on the warm windowsill.",
)
ODD_TEXTS = (
    "Hello, world!", "naïve café", "Straße über Ärger", "北京 is 大", "emoji 🦊 here", "a\tb\nc",
    "don't stop-now (really)", "x" * 90, "1,234.56 €", "[SEP] [MASK] no special tokens", "",
)  # fmt: skip


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    assert FOLDER is not None
    running = Worker(write_minilm(FOLDER, tmp_path_factory.mktemp("model") / "minilm.gguf"))
    ready = running.ready()
    assert (ready.dimensions, ready.context_tokens, ready.pooling) == (384, 512, "mean")
    yield running
    running.close()


def test_words(worker: Worker) -> None:
    king, queen, banana = rows(worker.embed("king", "queen", "banana"))
    assert king @ queen > 0.6
    assert king @ banana < 0.4


def test_an_answer_is_nearest_to_its_question(worker: Worker) -> None:
    question, *answers = rows(worker.embed(QUESTION, *ANSWERS))
    assert int(np.argmax([question @ answer for answer in answers])) == 0


def test_texts_have_the_tokens_that_the_model_was_trained_with(worker: Worker) -> None:
    assert FOLDER is not None
    reference = tokenizers.Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    reference.no_padding()
    reference.no_truncation()
    # What looks like a special token is none here, and is one to that library.
    texts = [text for text in ODD_TEXTS if "[" not in text]
    expected = tuple(len(reference.encode(text).ids) for text in texts)
    assert worker.embed(*texts).tokens == expected
    assert worker.embed("[SEP]").tokens[0] > 3
