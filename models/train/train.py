"""Trains the model on the prepared rounds, until a time of day or for some minutes.

    python -m models.train.train --work DIR --until 02:15

The rate warms up, stays, and falls in a line to zero over the last quarter of the time, so a run
can end by the clock. Every checkpoint holds all state: stopped at any moment, the same command
goes on from the last one, with the losses that the unbroken run would have had.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.train.dataset import Batch, Dataset, batches_from, load_dataset
from models.train.model import ModelConfig, Storyteller
from models.train.optimizer import make_optimizers, set_rate
from models.train.prepare import round_path

CHECKPOINT_FILE = "checkpoint.pt"
LOG_FILE = "train.jsonl"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is made of; equal settings and rounds give equal losses."""

    seed: int = 1
    tokens_per_batch: int = 4096
    muon_rate: float = 0.003
    embedding_rate: float = 0.02
    gain_rate: float = 0.001
    weight_decay: float = 0.2
    warmup_steps: int = 20
    decay_share: float = 0.25
    average_decay: float = 0.99
    bfloat16: bool = True


class Trainer:
    """Model, optimizers, average and position in the rounds; one `step` takes one batch."""

    def __init__(self, config: ModelConfig, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.model = Storyteller(config)
        self.optimizers = make_optimizers(
            self.model,
            muon_rate=settings.muon_rate,
            embedding_rate=settings.embedding_rate,
            gain_rate=settings.gain_rate,
            weight_decay=settings.weight_decay,
        )
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.step_number = 0
        self.tokens_seen = 0
        self.seconds = 0.0
        self.round = 0
        self.batches_done = 0

    def step(self, batch: Batch, rate_share: float) -> float:
        """Train on one batch and return its loss."""
        warmth = min(1.0, (self.step_number + 1) / self.settings.warmup_steps)
        set_rate(self.optimizers, rate_share * warmth)
        # Where the processor multiplies bfloat16 natively this is the faster half of the work; the
        # weights, the losses and the optimizers' state stay in float32.
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.bfloat16):
            loss = batch_loss(self.model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                self.average[name].lerp_(parameter, 1 - self.settings.average_decay)
        self.step_number += 1
        self.batches_done += 1
        self.tokens_seen += int(batch.inputs.size)
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write all state to `path`, whole or not at all."""
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "config": asdict(self.model.config),
                "settings": asdict(self.settings),
                "model": self.model.state_dict(),
                "average": self.average,
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "progress": self.progress(),
            },
            partial,
        )
        partial.rename(path)

    def progress(self) -> dict[str, float]:
        """Return the counters that say where the run stands."""
        return {
            "step_number": self.step_number,
            "tokens_seen": self.tokens_seen,
            "seconds": self.seconds,
            "round": self.round,
            "batches_done": self.batches_done,
        }


def load_trainer(path: Path) -> Trainer:
    """Return the trainer saved at `path`, ready to go on."""
    saved: dict[str, Any] = torch.load(path, weights_only=True)
    trainer = Trainer(ModelConfig(**saved["config"]), Settings(**saved["settings"]))
    trainer.model.load_state_dict(saved["model"])
    trainer.average = saved["average"]
    for optimizer, state in zip(trainer.optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    for name, value in saved["progress"].items():
        setattr(trainer, name, value)
    return trainer


def batch_loss(model: Storyteller, batch: Batch) -> Tensor:
    """Return the mean loss over the batch's weighted targets."""
    hidden = model.hidden(torch.from_numpy(batch.inputs))
    # Only the weighted positions go through the output matrix: it is a fifth of the work.
    weighted = torch.from_numpy(batch.weighted)
    logits = functional.linear(hidden[weighted], model.embedding.weight)
    return functional.cross_entropy(logits, torch.from_numpy(batch.targets)[weighted])


@torch.no_grad()
def source_losses(model: Storyteller, dataset: Dataset, tokens_max: int) -> dict[str, float]:
    """Return the mean loss a piece of each source, on about `tokens_max` tokens of each."""
    losses = {}
    for source in np.unique(dataset.sources):
        total, count = 0.0, 0
        chosen = np.flatnonzero(dataset.sources == source)
        for i in chosen:
            if count >= tokens_max:
                break
            tokens = dataset.tokens[dataset.offsets[i] : dataset.offsets[i + 1]].astype(np.int64)
            first = max(int(dataset.prefix_lengths[i]) - 1, 0)
            hidden = model.hidden(torch.from_numpy(tokens[None, :-1]))[0, first:]
            logits = functional.linear(hidden, model.embedding.weight)
            targets = torch.from_numpy(tokens[1 + first :])
            total += float(functional.cross_entropy(logits, targets, reduction="sum"))
            count += len(targets)
        losses[str(source)] = total / count
    return losses


class Schedule:
    """Rate by the clock: constant, then a line to zero over the last share of the run's time."""

    def __init__(self, seconds_total: float, decay_share: float) -> None:
        self.seconds_total = seconds_total
        self.decay_seconds = max(seconds_total * decay_share, 1e-9)

    def share(self, seconds: float) -> float:
        """Return the share of the peak rate after so many seconds; zero when time is up."""
        return min(1.0, max(0.0, (self.seconds_total - seconds) / self.decay_seconds))


def run(trainer: Trainer, work: Path, schedule: Schedule, checkpoint_seconds: float) -> None:
    """Train until the schedule's rate reaches zero, checkpointing and logging on the way."""
    validation = load_dataset(work / "validation.npz")
    started = time.monotonic() - trainer.seconds
    saved_at = trainer.seconds
    recent: list[float] = []
    while (path := round_path(work, trainer.round)).exists():
        dataset = load_dataset(path)
        seed = trainer.settings.seed * 1000 + trainer.round
        tokens_per_batch = trainer.settings.tokens_per_batch
        for batch in batches_from(dataset, tokens_per_batch, seed, trainer.batches_done):
            share = schedule.share(time.monotonic() - started)
            recent.append(trainer.step(batch, share))
            trainer.seconds = time.monotonic() - started
            due = trainer.seconds - saved_at >= checkpoint_seconds
            if len(recent) == 20 or due or share == 0.0:
                entry = trainer.progress() | {"rate": share, "loss": sum(recent) / len(recent)}
                if due or share == 0.0:
                    entry |= source_losses(trainer.model, validation, 800)
                    trainer.save(work / CHECKPOINT_FILE)
                    saved_at = trainer.seconds
                _log(work, entry)
                recent.clear()
            if share == 0.0:
                return
        trainer.round, trainer.batches_done = trainer.round + 1, 0
    trainer.save(work / CHECKPOINT_FILE)
    raise SystemExit(f"{path} is missing: prepare another round, then run this again.")


def _log(work: Path, entry: dict[str, float]) -> None:
    line = json.dumps({name: round(value, 4) for name, value in entry.items()})
    with (work / LOG_FILE).open("a") as log:
        log.write(line + "\n")
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def seconds_until(clock: str) -> float:
    """Return the seconds from now to the next time the clock shows `HH:MM`."""
    now = datetime.now().astimezone()
    hour, minute = (int(part) for part in clock.split(":"))
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return ((then - now) % timedelta(days=1)).total_seconds()


def main() -> None:
    """Start or go on with a training run."""
    parser = argparse.ArgumentParser(description="Train the storyteller.")
    parser.add_argument("--work", type=Path, required=True)
    end = parser.add_mutually_exclusive_group(required=True)
    end.add_argument("--until", help="end at this time of day, HH:MM")
    end.add_argument("--minutes", type=float, help="end after so many minutes of training in all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint-seconds", type=float, default=300.0)
    parser.add_argument("--compile", action="store_true", help="fuse operations; needs a compiler")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    path = options.work / CHECKPOINT_FILE
    trainer = load_trainer(path) if path.exists() else Trainer(ModelConfig(), Settings())
    if options.compile:
        trainer.model.compile_layers()
    if options.until:
        total = trainer.seconds + seconds_until(options.until)
    else:
        total = options.minutes * 60
    schedule = Schedule(total, trainer.settings.decay_share)
    run(trainer, options.work, schedule, options.checkpoint_seconds)


if __name__ == "__main__":
    main()
