"""The network that is trained: a backbone, a pooling of its features, and a head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from automl.training.network.feature_extractor import FeatureExtractor
from automl.training.network.outputs import OutputLayer


class Network(nn.Module):
    """Images (B, 3, S, S) -> outputs (B, n_outputs), which the output layer turns into probabilities.

    Its parts are called body, neck and head in every file of weights, and so they are here.

    Attributes:
        body: the backbone: timm's model without its classifier, under timm's names.
        neck: the pooling: features of the backbone -> (B, F).
        head: (B, F) -> (B, n_outputs).
        output_layer: what the outputs mean.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        extractor: FeatureExtractor,
        pooling: nn.Module,
        head: nn.Module,
        output_layer: OutputLayer,
    ) -> None:
        super().__init__()
        self.body = backbone
        self.add_module("neck", pooling)
        self.head = head
        self.output_layer = output_layer
        self._extractor = extractor

    @property
    def num_classes(self) -> int:
        """The number of classes, under timm's name."""
        return self.output_layer.n_classes

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """The backbone's."""
        pretrained: dict[str, Any] = self.body.pretrained_cfg  # type: ignore[assignment]
        return pretrained

    def extract_features(self, images: Tensor) -> Tensor:
        """Return the backbone's pooled vector (B, F), or its feature map (B, C, H, W) for the pooling."""
        return self._extractor(self.body, images)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.neck(self.extract_features(images)))  # type: ignore[no-any-return, operator]

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that the backbone's authors do not decay."""
        if not hasattr(self.body, "no_weight_decay"):
            return set()
        return {f"body.{name}" for name in self.body.no_weight_decay()}  # type: ignore[operator]
