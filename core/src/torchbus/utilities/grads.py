"""How large gradients are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["grad_norm"]


def grad_norm(module: nn.Module, norm_type: float | int | str, group_separator: str = "/") -> dict[str, Tensor]:
    """The norm of each parameter's gradient, and of all together, by names for ``self.log_dict``.

    Args:
        module: whose parameters; those without a gradient are passed over.
        norm_type: the p of the p-norm, or ``"inf"`` for the largest absolute value.
        group_separator: what stands before a parameter's name.

    Returns:
        ``grad_2.0_norm/NAME`` for each, and ``grad_2.0_norm_total``, shapes ``()``; nothing if there is no gradient.

    Raises:
        ValueError: ``norm_type`` is not positive.
    """
    order = float(norm_type)
    if not order > 0:
        raise ValueError(f"grad_norm: `norm_type` must be a positive number or 'inf', not {norm_type!r}.")
    gradients = {name: one.grad.detach() for name, one in module.named_parameters() if one.grad is not None}
    prefix = f"grad_{order}_norm"
    norms = {
        f"{prefix}{group_separator}{name}": torch.linalg.vector_norm(grad, order) for name, grad in gradients.items()
    }
    if norms:
        norms[f"{prefix}_total"] = torch.linalg.vector_norm(torch.stack(list(norms.values())), order)
    return norms
