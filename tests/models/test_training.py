"""The training loop on a toy model; all of it needs PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch", reason="install elwift-edge[train] to test training")
np: Any = pytest.importorskip("numpy")

# Loaded by name: type checks must pass where PyTorch is not installed.
train: Any = pytest.importorskip("models.train.train")
model: Any = pytest.importorskip("models.train.model")
dataset: Any = pytest.importorskip("models.train.dataset")
optimizer: Any = pytest.importorskip("models.train.optimizer")


@pytest.fixture
def config() -> Any:
    return model.ModelConfig(
        vocabulary=64, width=32, layers=2, heads=2, feed_forward=64, context=64
    )


def toy_batches(count: int) -> list[Any]:
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(count):
        # Each row counts on from where it starts: something that can be learned.
        starts = rng.integers(0, 64, (8, 1))
        rows = (starts + np.arange(33)) % 64
        weighted = np.ones((8, 32), dtype=bool)
        weighted[:, :4] = False
        batches.append(dataset.Batch(rows[:, :-1], rows[:, 1:], weighted))
    return batches


def test_a_few_steps_lower_the_loss(config: Any) -> None:
    trainer = train.Trainer(config, train.Settings(warmup_steps=5))
    losses = [trainer.step(batch, 1.0) for batch in toy_batches(30)]
    assert losses[-1] < losses[0] * 0.7


def test_a_resumed_run_has_the_losses_of_an_unbroken_one(config: Any, tmp_path: Path) -> None:
    batches = toy_batches(8)
    unbroken = train.Trainer(config, train.Settings())
    expected = [unbroken.step(batch, 1.0) for batch in batches]
    first = train.Trainer(config, train.Settings())
    losses = [first.step(batch, 1.0) for batch in batches[:4]]
    first.save(tmp_path / "checkpoint.pt")
    second = train.load_trainer(tmp_path / "checkpoint.pt")
    losses += [second.step(batch, 1.0) for batch in batches[4:]]
    assert losses == expected
    assert second.progress() == unbroken.progress()


def test_the_prefix_bears_no_loss(config: Any) -> None:
    tokens = np.arange(20, dtype=np.uint16)
    data = dataset.Dataset(
        tokens=tokens,
        prefix_lengths=np.array([5], dtype=np.int32),
        offsets=np.array([0, 20]),
        sources=np.array(["toy"]),
    )
    batch = dataset.make_batch(data, np.array([0]))
    assert batch.targets[0][batch.weighted[0]].tolist() == list(range(5, 20))


def test_no_row_is_longer_than_the_context_and_none_is_lost() -> None:
    lengths = np.array([30, 513, 17, 200, 64, 64])
    data = dataset.Dataset(
        tokens=np.zeros(lengths.sum(), dtype=np.uint16),
        prefix_lengths=np.zeros(len(lengths), dtype=np.int32),
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        sources=np.array(["toy"] * len(lengths)),
    )
    plan = dataset.plan_batches(data, 600, seed=1)
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(lengths)))
    assert max(dataset.make_batch(data, rows).inputs.shape[1] for rows in plan) == 512


def test_the_rate_stays_and_then_falls_to_zero() -> None:
    schedule = train.Schedule(100.0, 0.25)
    assert schedule.share(0) == schedule.share(75) == 1.0
    assert schedule.share(87.5) == pytest.approx(0.5)
    assert schedule.share(100) == schedule.share(200) == 0.0


def test_muon_makes_updates_orthogonal() -> None:
    matrices = torch.randn(3, 16, 48, generator=torch.Generator().manual_seed(0))
    singular = torch.linalg.svdvals(optimizer.orthogonalise(matrices))
    assert float(singular.min()) > 0.3
    assert float(singular.max()) < 1.4
