"""Published CycleGAN weights: huggan's ``pytorch_model.bin`` and junyanz's ``latest_net_G_A.pth``."""

__all__ = ["CycleGANWeights"]

import re

from ...contracts.published import Arrays, PublishedWeights
from ...utils.errors import UserError

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
        blocks = {int(m[1]) for name in arrays if (m := re.match(r"model\.(\d+)\.(?:conv_)?block\.", name))}
        first = arrays.get("model.1.weight")
        if not blocks or first is None or first.ndim != 4:
            raise UserError(
                "these weights are not a CycleGAN generator with residual blocks: expected names such as "
                f"model.1.weight and model.10.block.1.weight, found {', '.join(sorted(arrays)[:5]) or 'nothing'}"
            )
        transposed = any(".conv_block." in name for name in arrays)
        return {
            "upsampling": "transposed" if transposed else "nearest",
            "n_residual_blocks": len(blocks),
            "ngf": int(first.shape[0]),
            "input_nc": int(first.shape[1]),
        }
