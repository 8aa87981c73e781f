"""Small things that scripts import from ``torchbus.utilities``."""

from __future__ import annotations

import logging
import os

import pytest
import torch
from torch import nn
from torchbus.utilities import (
    find_shared_parameters,
    grad_norm,
    rank_zero_info,
    rank_zero_only,
    rank_zero_warn,
    set_shared_parameters,
)
from torchbus.utilities.seed import isolate_rng


def test_only_rank_zero_calls_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    double = rank_zero_only(lambda number: 2 * number)
    silent = rank_zero_only(lambda: "here", default="elsewhere")
    assert (rank_zero_only.rank, double(3)) == (0, 6)
    monkeypatch.setenv("RANK", "1")
    assert (rank_zero_only.rank, double(3), silent()) == (1, None, "elsewhere")
    rank_zero_only.rank = 0
    assert silent() == "here"
    rank_zero_only.rank = None
    assert silent() == "elsewhere"


def test_messages_come_from_the_line_that_sends_them(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.warns(UserWarning, match="careful") as caught:
        rank_zero_warn("careful")
    assert os.path.samefile(caught[0].filename, __file__)
    with caplog.at_level(logging.INFO, "torchbus"):
        rank_zero_info("%s and %s", 1, 2)
    assert [(record.message, record.filename) for record in caplog.records] == [("1 and 2", "test_utilities.py")]


def test_gradient_norms_are_those_of_each_parameter_and_of_all() -> None:
    module = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    assert grad_norm(module, 2) == {}
    module[0].weight.grad, module[1].weight.grad = torch.tensor([[3.0]]), torch.tensor([[-4.0]])
    norms = {name: float(norm) for name, norm in grad_norm(module, 2).items()}
    assert norms == {"grad_2.0_norm/0.weight": 3.0, "grad_2.0_norm/1.weight": 4.0, "grad_2.0_norm_total": 5.0}
    assert float(grad_norm(module, "inf", group_separator=".")["grad_inf_norm_total"]) == 4.0
    with pytest.raises(ValueError, match="positive"):
        grad_norm(module, 0)


def test_shared_parameters_are_found_and_can_be_tied_again() -> None:
    module = nn.ModuleDict({"one": nn.Linear(2, 2), "two": nn.Linear(2, 2), "three": nn.Linear(2, 2)})
    module["two"].weight = module["one"].weight
    shared = find_shared_parameters(module)
    assert shared == [["one.weight", "two.weight"]]
    module["two"].weight = nn.Parameter(torch.ones(2, 2))
    assert set_shared_parameters(module, shared) is module
    assert module["two"].weight is module["one"].weight


def test_what_is_drawn_in_isolation_leaves_no_trace() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    with isolate_rng():
        torch.rand(3)
    assert torch.equal(torch.rand(1), expected)
