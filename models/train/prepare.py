"""Makes the tokenizer, the validation set and the training rounds.

    python -m models.train.prepare tokenizer  --corpus DIR --work DIR
    python -m models.train.prepare validation --corpus DIR --work DIR
    python -m models.train.prepare round      --corpus DIR --work DIR --round N \
        --generated COUNT [--copying COUNT] [--corpus-share SHARE]

Rounds differ: prompts are phrased anew, other fables and book pages are drawn, and the generator
goes on to new seeds.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from pathlib import Path
from random import Random

import numpy as np

from models.train.chat import END_OF_TEXT, TURN_END
from models.train.copying import copying_documents
from models.train.corpus import FILES, Subjects, is_held_out, read_stories
from models.train.dataset import Document, tokenise
from models.train.lexicon import concrete_nouns
from models.train.prompts import chat_prefix, courtesy, story_prompt, with_article
from models.train.tokenizer import load_tokenizer, train_tokenizer

CONTEXT = 512
ANSWER_END = f"{TURN_END}\n"
TOKENIZER_FILE = "tokenizer.json"
VALIDATION_FILE = "validation.npz"
# Validation stories of the generator come from seeds that training never reaches.
VALIDATION_SEED_FIRST = 1_000_000_000
VALIDATION_GENERATED = 300
BOOK_PAGE_CHARACTERS = 900
# What a round takes of each source: the books and the grown-up fables are a minority.
ROUND_SHARES = {"tinystories": 1.0, "storybooks": 0.6, "fables": 0.2}
ROUND_BOOK_PAGES = 200
ROUND_COURTESIES = 250
TOKENIZER_PROMPTS = 20_000


def round_path(work: Path, number: int) -> Path:
    """Return where the training round of this number lies."""
    return work / f"round_{number:02}.npz"


def story_document(rng: Random, source: str, subjects: list[str], story: str) -> Document:
    """Return a chat in which the story answers a request for it."""
    return Document(source, chat_prefix(rng, story_prompt(rng, subjects)), story + ANSWER_END)


def book_pages(text: str) -> list[str]:
    """Return a book's text as pages of whole paragraphs."""
    pages, page = [], ""
    for paragraph in re.split(r"\n\s*\n", text):
        page = f"{page}\n\n{' '.join(paragraph.split())}".strip()
        if len(page) >= BOOK_PAGE_CHARACTERS:
            pages.append(page)
            page = ""
    return pages


def book_document(page: str) -> Document:
    """Return plain text that bears loss throughout."""
    return Document("books", END_OF_TEXT, page + END_OF_TEXT)


def corpus_documents(
    corpus: Path, rng: Random, *, held_out: bool, shares: dict[str, float], pages: int
) -> list[Document]:
    """Return chats made of the corpus's stories, held-out ones or the others, and book pages."""
    documents = []
    for source, share in shares.items():
        stories = read_stories(corpus, source)
        subjects = Subjects(stories)
        for story in stories:
            if is_held_out(story) == held_out and rng.random() < share:
                found = subjects.find(rng, story)
                documents.append(story_document(rng, source, found, story))
    books = [book for book in read_stories(corpus, "books") if is_held_out(book) == held_out]
    everything = [page for book in books for page in book_pages(book)]
    documents += [book_document(page) for page in rng.sample(everything, pages)]
    return documents


def generated_documents(rng: Random, first_seed: int, count: int) -> list[Document]:
    """Return chats from the project's own generator."""
    if not count:
        return []
    generate = importlib.import_module("models.train.generator").generate
    documents = []
    for seed in range(first_seed, first_seed + count):
        story = generate(seed)
        prefix = chat_prefix(rng, story.prompt)
        documents.append(Document("generated", prefix, story.text + ANSWER_END))
    return documents


def make_tokenizer(corpus: Path, work: Path) -> None:
    """Train the tokenizer on the modern stories, some books and the generator's nouns."""
    modern = [source for source in FILES if source != "books"]
    texts = [story for source in modern for story in read_stories(corpus, source)]
    texts += read_stories(corpus, "tinystories") * 2
    texts += [story[:3000] for story in read_stories(corpus, "books")[::8]]
    rng, nouns = Random(1), sorted(concrete_nouns())
    for _ in range(TOKENIZER_PROMPTS):
        texts.append(story_prompt(rng, [with_article(noun) for noun in rng.sample(nouns, 2)]))
    train_tokenizer(texts).save(str(work / TOKENIZER_FILE))


def make_validation(corpus: Path, work: Path) -> None:
    """Save the held-out documents, whole files' shares of them."""
    rng = Random(0)
    everything = dict.fromkeys(ROUND_SHARES, 1.0)
    documents = corpus_documents(corpus, rng, held_out=True, shares=everything, pages=60)
    documents += generated_documents(rng, VALIDATION_SEED_FIRST, VALIDATION_GENERATED)
    tokenizer = load_tokenizer(work / TOKENIZER_FILE)
    tokenise(tokenizer, documents, CONTEXT).save(work / VALIDATION_FILE)


def make_round(
    corpus: Path, work: Path, number: int, *, generated: int, copying: int, corpus_share: float
) -> None:
    """Save one training round and say what it holds."""
    rng = Random(1000 + number)
    documents = corpus_documents(
        corpus,
        rng,
        held_out=False,
        shares={source: share * corpus_share for source, share in ROUND_SHARES.items()},
        pages=int(ROUND_BOOK_PAGES * corpus_share),
    )
    documents += generated_documents(rng, number * 1_000_000, generated)
    tokenizer = load_tokenizer(work / TOKENIZER_FILE)
    # Whole words after a space: each is one piece again, whatever stands before it.
    pieces = sorted(
        piece.replace("\u0120", " ")
        for piece in tokenizer.get_vocab()
        if re.fullmatch("\u0120[A-Za-z]{3,}", piece)
    )
    documents += copying_documents(rng, copying, pieces, ANSWER_END)
    for _ in range(ROUND_COURTESIES):
        question, answer = courtesy(rng)
        documents.append(Document("courtesy", chat_prefix(rng, question), answer + ANSWER_END))
    dataset = tokenise(tokenizer, documents, CONTEXT)
    dataset.save(round_path(work, number))
    for source in np.unique(dataset.sources):
        chosen = dataset.lengths[dataset.sources == source]
        sys.stdout.write(f"{source:12} {len(chosen):6} documents {chosen.sum():9} tokens\n")


def main() -> None:
    """Run one step of the preparation."""
    parser = argparse.ArgumentParser(description="Prepare the training text.")
    parser.add_argument("step", choices=("tokenizer", "validation", "round"))
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--round", type=int, default=0)
    parser.add_argument("--generated", type=int, default=0, help="stories from the generator")
    parser.add_argument("--copying", type=int, default=0, help="exercises in looking back")
    parser.add_argument("--corpus-share", type=float, default=1.0, help="thins the corpus out")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.step == "tokenizer":
        make_tokenizer(options.corpus, options.work)
    elif options.step == "validation":
        make_validation(options.corpus, options.work)
    else:
        make_round(
            options.corpus,
            options.work,
            options.round,
            generated=options.generated,
            copying=options.copying,
            corpus_share=options.corpus_share,
        )


if __name__ == "__main__":
    main()
