"""The classic big network: its encoding, shape and derivatives, with the density field's interface."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from nerfrecon.fields.big_mlp import BigMlpField, encode_position
from nerfrecon.options import BigMlpFieldOptions

SMALL = BigMlpFieldOptions(layers=3, width=8, skip=2, position_frequencies=2, direction_frequencies=1)


def points_of(count: int) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1))


def test_the_network_is_that_of_the_paper():
    field = BigMlpField(BigMlpFieldOptions())
    assert [
        (layer.in_features, layer.out_features) for layer in field.trunk if isinstance(layer, torch.nn.Linear)
    ] == [
        (63, 256),
        *[(256, 256)] * 3,
        (319, 256),
        *[(256, 256)] * 3,
    ]
    assert field.view.weight.shape == (128, 283) and field.colour_head.weight.shape == (3, 128)
    assert sum(parameter.numel() for parameter in field.parameters()) == 595844  # of the paper's code


def test_the_encoding_is_sines_and_cosines_of_doubling_frequency():
    (found,) = encode_position(torch.tensor([[0.1, -0.2, 0.3]], dtype=torch.float64), 2)
    wanted = [0.1, -0.2, 0.3]
    for factor in (math.pi, 2 * math.pi):
        wanted += [math.sin(factor * x) for x in (0.1, -0.2, 0.3)]
        wanted += [math.cos(factor * x) for x in (0.1, -0.2, 0.3)]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))


def test_values_are_in_their_ranges_and_depend_on_all_that_they_should():
    field = BigMlpField(SMALL, seed=1)
    density, features = field.density(points_of(40))
    along = torch.nn.functional.normalize(points_of(40) - 0.5, dim=1)
    colour, behind = field.colour(features, along), field.colour(features, -along)
    assert (density > 0).all() and ((colour > 0) & (colour < 1)).all()
    assert density.std() > 1e-3 and (colour - behind).abs().max() > 1e-3


def test_the_seed_decides_the_parameters():
    first, again, other = (BigMlpField(SMALL, seed=seed).density(points_of(3))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_derivatives():
    field = BigMlpField(SMALL).double()
    points = points_of(3).double().requires_grad_()
    directions = torch.nn.functional.normalize(points_of(3).double() - 0.4, dim=1).requires_grad_()

    def seen(points: torch.Tensor, directions: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        density, features = field.density(points)
        return torch.cat([density[:, None], field.colour(features, directions)], 1)

    assert torch.autograd.gradcheck(seen, (points, directions, *field.parameters()), fast_mode=True)


def test_a_skip_behind_the_last_layer_is_refused():
    with pytest.raises(ValidationError, match="skip must be below layers"):
        BigMlpFieldOptions(layers=4, skip=4)
