"""head(neck(backbone(images))), and where its parameters stand between image and classes."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from imcls.model.backbones import Backbone, Colour, stage_of
from imcls.model.heads import MultiLabel
from imcls.model.necks import Neck
from imcls.model.options import ModelOptions

Images = Float[Tensor, "n 3 h w"]
Vectors = Float[Tensor, "n d"]


class Output(NamedTuple):
    """What a classifier gives in training and in evaluation alike."""

    logits: Float[Tensor, "n k"]
    features: Vectors
    """The vector before BNNeck, for a triplet loss."""
    thresholds: Float[Tensor, "n 1"] | None
    """Regressed threshold of each image, in logits: the answer is yes where logits > thresholds. A loss
    on (logits - thresholds) trains it. None for every other head; then the answer is logits > 0."""


class Classifier(nn.Module):
    """A whole model. Images come normalised: (RGB in [0, 1] - mean) / std."""

    def __init__(
        self,
        backbone: Backbone,
        neck: Neck,
        head: nn.Module,
        *,
        embedding_dim: int,
        classes: int,
        image_px: int,
        options: ModelOptions,
    ) -> None:
        """Use `build_classifier`."""
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.embedding_dim = embedding_dim
        self.classes = classes
        self.image_px = image_px
        self.options = options

    @property
    def mean(self) -> Colour:
        """Subtracted from RGB in [0, 1], as the backbone was trained."""
        return self.backbone.mean

    @property
    def std(self) -> Colour:
        """RGB is divided by it after that."""
        return self.backbone.std

    def features(self, images: Images) -> Vectors:
        """Normalised images -> vectors (n, embedding_dim) after pooling, before BNNeck."""
        return self.neck.pool(self.backbone(images), self.backbone)

    def embed(self, images: Images) -> Vectors:
        """Normalised images -> vectors (n, embedding_dim) after the whole neck: what the head sees."""
        return self.neck(self.features(images))

    def classify(self, features: Vectors, targets: Tensor | None = None) -> Output:
        """Vectors of `features` -> logits. `targets` (n,) int64 give a margin head its margin in training."""
        embedding = self.neck(features)
        thresholds = self.head.thresholds(embedding) if isinstance(self.head, MultiLabel) else None
        return Output(self.head(embedding, targets), features, thresholds)

    def forward(self, images: Images, targets: Tensor | None = None) -> Output:
        return self.classify(self.features(images), targets)


def parameter_depths(model: Classifier) -> dict[str, int]:
    """Depth of every parameter by name: 0 at the image, one more a layer, neck and head the deepest."""
    backbone = model.backbone
    deepest = len(backbone.layers)
    depths = {}
    for name, _ in model.named_parameters():
        if name.startswith("backbone."):
            depth = stage_of(name.removeprefix("backbone."), backbone.layers)
            depths[name] = deepest - 1 if depth is None else depth
        else:
            depths[name] = deepest
    return depths


def new_parameters(model: Classifier) -> tuple[str, ...]:
    """Prefixes of the names of parameters that start from scratch whatever the weights."""
    return ("neck.", "head.", *(f"backbone.{prefix}" for prefix in model.backbone.fresh))
