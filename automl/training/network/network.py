"""The network that is trained: a body that sees, a neck that gathers, a head that decides.

Not responsible for: how one is built from a config (automl.training.network.create).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from automl.training.network.body import Reading
from automl.training.network.outputs import Link


class Network(nn.Module):
    """Images (B, 3, S, S) -> outputs (B, n_outputs) of the link.

    Attributes:
        body: timm's model without its classifier, under timm's names.
        neck: the features of the body -> (B, F).
        head: (B, F) -> (B, n_outputs).
        link: what the outputs mean.
    """

    def __init__(self, *, body: nn.Module, reading: Reading, neck: nn.Module, head: nn.Module, link: Link) -> None:
        super().__init__()
        self.body = body
        self.neck = neck
        self.head = head
        self.link = link
        self._reading = reading

    @property
    def num_classes(self) -> int:
        """As timm calls it."""
        return self.link.n_classes

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """The body's."""
        pretrained: dict[str, Any] = self.body.pretrained_cfg  # type: ignore[assignment]
        return pretrained

    def features(self, images: Tensor) -> Tensor:
        """What the body sees: a pooled vector (B, F), or a feature map (B, C, H, W) for the neck."""
        return self._reading(self.body, images)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.neck(self.features(images)))  # type: ignore[no-any-return]

    def no_weight_decay(self) -> set[str]:
        """The names of the parameters that the backbone's authors do not decay."""
        if not hasattr(self.body, "no_weight_decay"):
            return set()
        return {f"body.{name}" for name in self.body.no_weight_decay()}  # type: ignore[operator]

    def fresh_parts(self) -> list[nn.Module]:
        """What is never pretrained, and trains while the body is frozen."""
        return [self.neck, self.head]
