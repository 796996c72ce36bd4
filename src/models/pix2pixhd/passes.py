"""The passes of a trained pix2pixHD: maps and features to an image, an image to features."""

__all__ = ["Encode", "Generate"]

from mindspore import Tensor, nn, ops

from .inputs import instance_mean


class Generate(nn.Cell):
    """Label and instance maps, with features where they are used, to an image."""

    def __init__(self, encode: nn.Cell, generator: nn.Cell, uses_features: bool):
        super().__init__()
        self.encode, self.generator, self.uses_features = encode, generator, uses_features

    def construct(self, label: Tensor, inst: Tensor, features: Tensor) -> Tensor:
        condition = self.encode(label, inst)
        if self.uses_features:
            condition = ops.concat((condition, features.astype(condition.dtype)), 1)
        return self.generator(condition)


class Encode(nn.Cell):
    """Images to features, averaged over every region; ``regions`` is the static upper bound of their ids."""

    def __init__(self, encoder: nn.Cell, regions: int):
        super().__init__()
        self.encoder, self.regions = encoder, regions

    def construct(self, image: Tensor, regions: Tensor) -> Tensor:
        return instance_mean(self.encoder(image), regions, self.regions)
