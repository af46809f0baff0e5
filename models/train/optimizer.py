"""Muon for the weight matrices, AdamW for the embedding and the gains.

Muon (K. Jordan and others, 2024) replaces a matrix's momentum by its nearest orthogonal matrix,
found with five Newton-Schulz steps; small models reach a given loss in clearly fewer tokens than
with AdamW alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Coefficients of the quintic iteration, chosen by Muon's authors for the steepest slope at zero.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised; updates have the size that AdamW's have at the same rate."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rate: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            parameters, {"lr": rate, "momentum": momentum, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; matrices of one shape go together."""
        assert closure is None, "Muon takes no closure"
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for parameters in by_shape.values():
                self._update(parameters, group)

    def _update(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        directions = []
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            assert parameter.grad is not None
            state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
            directions.append(parameter.grad.lerp(state["momentum"], group["momentum"]))
        updates = orthogonalise(torch.stack(directions))
        rows, columns = parameters[0].shape
        scale = 0.2 * max(rows, columns) ** 0.5
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update, alpha=-group["lr"] * scale)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return for a stack of matrices the nearly orthogonal ones nearest to them."""
    a, b, c = NEWTON_SCHULZ
    wide = matrices.shape[-2] > matrices.shape[-1]
    # The iteration only has to come near, so half the precision does, as in Muon's original.
    x: Tensor = (matrices.mT if wide else matrices).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.mT if wide else x).to(matrices.dtype)
    return result


def make_optimizers(
    model: nn.Module,
    *,
    muon_rate: float,
    embedding_rate: float,
    gain_rate: float,
    weight_decay: float,
) -> list[torch.optim.Optimizer]:
    """Return the two optimizers; each group remembers its peak rate under `peak_lr`."""
    matrices: list[nn.Parameter] = []
    embeddings: list[nn.Parameter] = []
    gains: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if "embedding" in name:
            embeddings.append(parameter)
        else:
            (matrices if parameter.ndim == 2 else gains).append(parameter)
    adam_groups = [
        {"params": embeddings, "lr": embedding_rate},
        {"params": gains, "lr": gain_rate},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices, muon_rate, weight_decay=weight_decay),
        torch.optim.AdamW(adam_groups, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def set_rate(optimizers: list[torch.optim.Optimizer], share: float) -> None:
    """Set every group's rate to `share` of its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * share
