"""LeNet-5 and AlexNet, which timm lacks, registered there as lenet5 and alexnet.

They keep timm's conventions, so that all else treats them as it treats timm's own.
"""

from __future__ import annotations

from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from automl.training.network.heads import GridPool

Taps = list[Tensor]


class Classic(nn.Module):
    """Convolutions, a fixed grid that they are pooled to, and fully connected layers with dropout.

    Invariant: the parameters are named features.N and classifier.N, as torchvision names those of AlexNet.
    """

    def __init__(
        self, features: nn.Sequential, *, grid: int, classifier: nn.Sequential, stages: dict[int, tuple[int, int]]
    ) -> None:
        """Put the parts together.

        Args:
            features: (B, 3, S, S) -> the last feature map.
            grid: its cells per side that the classifier reads.
            classifier: its last layer has one output for each class.
            stages: by the layer of features that ends a stage: how many channels it has, and pixels per cell.
        """
        super().__init__()
        self.features = features
        self.avgpool: nn.Module = GridPool(grid)
        self.classifier: nn.Module = classifier
        self.grad_checkpointing = False
        last: nn.Linear = classifier[-1]  # type: ignore[assignment]
        self.num_classes = last.out_features
        self.head_hidden_size = last.in_features
        self.stage_ends = list(stages)
        self.feature_info: list[dict[str, Any]] = [
            {"num_chs": n_channels, "reduction": reduction, "module": f"features.{end}"}
            for end, (n_channels, reduction) in stages.items()
        ]
        self.num_features: int = self.feature_info[-1]["num_chs"]

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the layers from the first to the last, for learning rates that differ by layer."""
        return {"stem": r"^features\.0", "blocks": r"^features\.(\d+)", "hidden": r"^classifier\.(\d+)"}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Raises:
        AssertionError: checkpoints are asked for; there are none.
        """
        assert not enable, "gradient checkpointing not supported"

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        return self.classifier[-1] if isinstance(self.classifier, nn.Sequential) else self.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Give it a fresh last layer, or none for 0 classes.

        Raises:
            AssertionError: another pooling is asked for; the fully connected layers read the grid.
        """
        assert global_pool in (None, "avg"), "Cannot disable pooling"
        self.num_classes = num_classes
        if isinstance(self.classifier, nn.Sequential):
            fresh = nn.Linear(self.head_hidden_size, num_classes) if num_classes > 0 else nn.Identity()
            self.classifier[-1] = fresh.train(self.training)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Taps | tuple[Tensor, Taps]:
        """Return the feature maps at the ends of the stages that are asked for, after the last one or alone."""
        assert output_fmt == "NCHW", "Output shape must be NCHW."
        taken, last = feature_take_indices(len(self.stage_ends), indices)
        layers = self.features[: self.stage_ends[last] + 1] if stop_early else self.features
        wanted = {self.stage_ends[index] for index in taken}
        taps: Taps = []
        for number, layer in enumerate(layers):
            x = layer(x)
            if number in wanted:
                taps.append(x)
        return taps if intermediates_only else (x, taps)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Take off the stages behind the last one that is asked for, and the fully connected layers."""
        taken, last = feature_take_indices(len(self.stage_ends), indices)
        cut = last < len(self.stage_ends) - 1
        self.features = self.features[: self.stage_ends[last] + 1]
        self.num_features = self.feature_info[last]["num_chs"]
        if prune_head or cut:
            self.avgpool, self.classifier, self.num_classes = nn.Identity(), nn.Identity(), 0
            self.head_hidden_size = self.num_features
        return list(taken)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> the last feature map."""
        return self.features(x)  # type: ignore[no-any-return]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last feature map -> (B, n_classes), or what the last layer reads."""
        x = self.avgpool(x).flatten(1)
        if pre_logits and isinstance(self.classifier, nn.Sequential):
            return self.classifier[:-1](x)  # type: ignore[no-any-return]
        return self.classifier(x)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


def build_lenet5(num_classes: int = 1000, in_chans: int = 3, drop_rate: float = 0.0) -> Classic:
    """LeNet-5 for images of 16 pixels and more; those of 32 it sees as the original did.

    As in the paper: sizes of all layers, tanh, subsampling by means, the layer C5 as the fully connected one that it is
    at 32 pixels. Not as there, but as usual since: three colours, each map of C3 sees all of S2, subsampling has no
    weights of its own, tanh is not scaled, and the last layer is linear instead of radial basis functions.

    Source: LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition, section II.B.
    """
    features = nn.Sequential(
        nn.Conv2d(in_chans, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)
    )
    classifier = nn.Sequential(
        nn.Linear(16 * 5 * 5, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Dropout(drop_rate),
        nn.Linear(84, num_classes or 1),
    )
    return _set_classes(Classic(features, grid=5, classifier=classifier, stages={2: (6, 2), 5: (16, 4)}), num_classes)


def build_alexnet(num_classes: int = 1000, in_chans: int = 3, drop_rate: float = 0.0) -> Classic:
    """AlexNet in the one-column form that torchvision has, whose files of weights fit.

    Source: Krizhevsky et al. 2012, ImageNet Classification with Deep Convolutional Neural Networks; Krizhevsky 2014,
        One Weird Trick for Parallelizing Convolutional Neural Networks, section 5 (one column); torchvision.
    """
    features = nn.Sequential(
        *(nn.Conv2d(in_chans, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2)),
    )
    classifier = nn.Sequential(
        *(nn.Dropout(drop_rate), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True)),
        *(nn.Dropout(drop_rate), nn.Linear(4096, 4096), nn.ReLU(inplace=True)),
        nn.Linear(4096, num_classes or 1),
    )
    model = Classic(features, grid=6, classifier=classifier, stages={2: (64, 8), 5: (192, 16), 12: (256, 32)})
    return _set_classes(model, num_classes)


default_cfgs = generate_default_cfgs(
    {
        "lenet5": {
            "num_classes": 1000,
            "input_size": (3, 32, 32),
            "pool_size": (5, 5),
            "mean": IMAGENET_DEFAULT_MEAN,
            "std": IMAGENET_DEFAULT_STD,
            "first_conv": "features.0",
            "classifier": "classifier.5",
        },
        "alexnet": {
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (6, 6),
            "mean": IMAGENET_DEFAULT_MEAN,
            "std": IMAGENET_DEFAULT_STD,
            "first_conv": "features.0",
            "classifier": "classifier.6",
        },
    }
)


@register_model  # type: ignore[untyped-decorator]
def lenet5(pretrained: bool = False, **arguments: Any) -> Classic:
    """Create LeNet-5 for timm."""
    model: Classic = build_model_with_cfg(build_lenet5, "lenet5", pretrained, **arguments)
    return model


@register_model  # type: ignore[untyped-decorator]
def alexnet(pretrained: bool = False, **arguments: Any) -> Classic:
    """Create AlexNet for timm."""
    model: Classic = build_model_with_cfg(build_alexnet, "alexnet", pretrained, **arguments)
    return model


def _set_classes(model: Classic, num_classes: int) -> Classic:
    """Return the model itself, without a last layer where there are no classes, which is how timm asks for features."""
    if num_classes == 0:
        model.reset_classifier(0)
    return model
