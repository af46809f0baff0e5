"""Compares llama.cpp's figures with PyTorch's, kept in the reference made at export.

    python -m models.train.verify_export --reference FILE --q8 FILE [--f16 FILE]

Two claims: the Q8_0 file's loss is within 1 % of PyTorch's; the F16 file's most likely
continuation is PyTorch's for 32 tokens, but for ties. It needs llama-cpp-python, not PyTorch.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from models.train.llama_worker import ask

LOSS_DIFFERENCE_MAX = 0.01
TIE_LOGITS_MAX = 1e-3


def relative_loss_difference(reference: dict[str, Any], model: Path) -> float:
    """Return how far llama.cpp's loss on the passage is from PyTorch's, as a share of it."""
    job = {
        "do": "score",
        "tokens": reference["tokens"],
        "prefix_length": reference["prefix_length"],
    }
    (scores,) = ask(model, [job])
    loss = -sum(scores) / len(scores)
    expected = float(reference["loss"])
    return float(abs(loss - expected) / expected)


def greedy_differences(reference: dict[str, Any], model: Path) -> list[str]:
    """Return a sentence for every greedy answer that differs from PyTorch's without a tie."""
    answers = reference["greedy"]
    count = len(answers[0]["tokens"])
    jobs = [{"do": "greedy", "prompt": answer["prompt"], "count": count} for answer in answers]
    complaints = []
    for answer, result in zip(answers, ask(model, jobs), strict=True):
        pairs = zip(answer["tokens"], result["tokens"], strict=True)
        first = next((i for i, (ours, theirs) in enumerate(pairs) if ours != theirs), None)
        # After a tie the two go different ways, and nothing can be compared any more.
        if first is not None and answer["margins"][first] > TIE_LOGITS_MAX:
            complaints.append(
                f"{answer['request']!r}: token {first} differs, PyTorch's lead there is"
                f" {answer['margins'][first]:.4f} logits."
            )
    return complaints


def main() -> None:
    """Print both comparisons; end with 1 when one fails."""
    parser = argparse.ArgumentParser(description="Check an export against PyTorch.")
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--q8", type=Path, required=True)
    parser.add_argument("--f16", type=Path)
    options = parser.parse_args()
    reference = json.loads(options.reference.read_text())
    difference = relative_loss_difference(reference, options.q8)
    sys.stdout.write(
        f"PyTorch loss {reference['loss']:.4f}; {options.q8.name} differs by {difference:.3%}\n"
    )
    complaints = greedy_differences(reference, options.f16) if options.f16 else []
    if options.f16:
        answers = reference["greedy"]
        same = len(answers) - len(complaints)
        sys.stdout.write(f"{options.f16.name}: {same} of {len(answers)} greedy answers agree\n")
        for complaint in complaints:
            sys.stdout.write(f"  {complaint}\n")
    if difference > LOSS_DIFFERENCE_MAX or complaints:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
