"""From the features of a region: which class, and how its box should move."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from falldet.model.norms import ConvNorm
from falldet.model.options import BoxHeadOptions


class BoxHead(nn.Module):
    """Convolutions, fully connected layers; class logits, the background last, and deltas for any class."""

    def __init__(self, channels: int, pool_px: int, classes: int, options: BoxHeadOptions) -> None:
        super().__init__()
        widths = [channels] + [options.conv_channels] * options.convs
        self.shared_convs = nn.ModuleList(
            ConvNorm(a, b, 3, options.norm, active=True) for a, b in pairwise(widths)
        )
        sizes = [widths[-1] * pool_px**2] + [options.fc_channels] * options.fcs
        self.shared_fcs = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.fc_cls = nn.Linear(sizes[-1], classes + 1)
        self.fc_reg = nn.Linear(sizes[-1], 4)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.fc_cls.weight, std=0.01)
        nn.init.normal_(self.fc_reg.weight, std=0.001)

    def forward(self, x: Float[Tensor, "r c p p"]) -> tuple[Float[Tensor, "r k"], Float[Tensor, "r 4"]]:
        """Logits of the classes and the background, and deltas."""
        for conv in self.shared_convs:
            x = conv(x)
        x = x.flatten(1)
        for layer in self.shared_fcs:
            x = relu(layer(x))
        return self.fc_cls(x).float(), self.fc_reg(x).float()
