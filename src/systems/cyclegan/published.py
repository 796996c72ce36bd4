"""Published CycleGAN weights: huggan's ``pytorch_model.bin`` and junyanz's ``latest_net_G_A.pth``."""

__all__ = ["CycleGANWeights"]

from ...contracts.published import Arrays, PublishedWeights
from ..shared.residual import generator_options

# arrays of instance norms of PyTorch before 0.4
_NORM_STATE = ("running_mean", "running_var", "num_batches_tracked")


class CycleGANWeights(PublishedWeights):
    """Both families use this project's names; a generator's arrays determine its family, depth and width."""

    # the original code calls the discriminator of A's translations D_A, although it judges images of B
    networks = {"G_A": "G_AB", "G_B": "G_BA", "D_A": "D_B", "D_B": "D_A", "G": "G_AB"}

    def names(self, network: str, arrays: Arrays) -> Arrays:
        return {name: value for name, value in arrays.items() if name.rpartition(".")[2] not in _NORM_STATE}

    def options(self, network: str, arrays: Arrays) -> dict[str, object]:
        """``upsampling``, ``n_residual_blocks``, ``ngf`` and ``input_nc`` of a generator.

        Raises:
            UserError: the arrays are no generator of the two families.
        """
        if not network.startswith("G"):
            return {}
        options, _ = generator_options(arrays, "CycleGAN", "model.10.block.1.weight")
        transposed = any(".conv_block." in name for name in arrays)
        return {"upsampling": "transposed" if transposed else "nearest"} | options
