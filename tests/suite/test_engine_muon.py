"""Muon: what its step is, which parameters take it, and that it learns."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from suite.engine.muon import Muon, orthogonalised
from suite.engine.optimizers import build_optimizer, parameter_groups, set_learning_rate
from suite.engine.options import EngineOptions
from suite.engine.options import Muon as MuonOptions


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 4))


def test_singular_values_come_near_one_and_directions_stay():
    torch.manual_seed(0)
    for shape in ((6, 40), (40, 6), (12, 12)):
        matrix = torch.randn(shape)
        U, _, V = torch.linalg.svd(matrix, full_matrices=False)
        found = orthogonalised(matrix, steps=5)
        along = U.T @ found @ V.T
        assert (along - torch.diag(along.diagonal())).abs().max() < 1e-4
        if shape != (12, 12):  # a square one has singular values near 0, which five steps do not lift
            assert along.diagonal().min() > 0.6 and along.diagonal().max() < 1.3


def test_matrices_of_the_body_take_it_and_the_rest_does_not():
    options = EngineOptions(optimizer=MuonOptions(lr=0.1, plain_lr=0.5, momentum=0.6, plain_momentum=0.8))
    groups = parameter_groups(net(), options, new=("3.",))
    by_name = {name: group for group in groups for name in group["names"]}
    assert by_name["0.weight"]["matrix"] and by_name["0.weight"]["momentum"] == 0.6
    assert by_name["0.weight"]["lr"] == 0.1
    for name in ("0.bias", "1.weight", "1.bias", "3.weight", "3.bias"):
        assert not by_name[name]["matrix"] and by_name[name]["lr"] == 0.5
        assert by_name[name]["momentum"] == 0.8
    assert by_name["3.weight"]["weight_decay"] > 0 == by_name["3.bias"]["weight_decay"]


def test_plain_groups_step_like_sgd():
    one, other = nn.Linear(5, 3), nn.Linear(5, 3)
    other.load_state_dict(one.state_dict())
    group = {"params": list(one.parameters()), "matrix": False, "momentum": 0.9, "weight_decay": 1e-2}
    ours = Muon([group], lr=0.1, momentum=0.9, unit_norm=False)
    theirs = torch.optim.SGD(other.parameters(), 0.1, 0.9, weight_decay=1e-2, nesterov=True)
    for step in range(5):
        x = torch.randn(4, 5, generator=torch.Generator().manual_seed(step))
        for model, optimizer in ((one, ours), (other, theirs)):
            optimizer.zero_grad()
            model(x).pow(2).sum().backward()
            optimizer.step()
    torch.testing.assert_close(one.weight, other.weight)
    torch.testing.assert_close(one.bias, other.bias)


def test_unit_norm_keeps_the_scale_of_a_matrix():
    layer = nn.Linear(20, 10, bias=False)
    layer.weight.data.mul_(7)
    group = {"params": [layer.weight], "matrix": True, "momentum": 0.6, "weight_decay": 0.0}
    optimizer = Muon([group], lr=1e-9, momentum=0.6, unit_norm=True)
    layer(torch.randn(3, 20)).sum().backward()
    optimizer.step()
    assert abs(float(layer.weight.detach().norm()) - 10**0.5) < 1e-4


def test_it_learns_faster_than_a_tenth_of_chance():
    model = net()
    options = EngineOptions(optimizer=MuonOptions(lr=0.1, unit_norm=True))
    optimizer = build_optimizer(options, parameter_groups(model, options, new=("3.",)))
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(32, 3, 8, 8, generator=generator), torch.arange(32) % 4
    for step in range(60):
        set_learning_rate(optimizer, 1 - step / 60)
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).all()


def test_its_state_can_be_saved_and_loaded():
    model = net()
    options = EngineOptions(optimizer=MuonOptions())
    optimizer = build_optimizer(options, parameter_groups(model, options))
    model(torch.randn(4, 3, 8, 8)).sum().backward()
    optimizer.step()
    again = build_optimizer(options, parameter_groups(model, options))
    again.load_state_dict(optimizer.state_dict())
    for weight in model.parameters():
        torch.testing.assert_close(again.state[weight]["momentum"], optimizer.state[weight]["momentum"])
