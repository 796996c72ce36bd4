"""Published CUT weights: ``latest_net_G.pth``, ``latest_net_F.pth`` and ``latest_net_D.pth``."""

__all__ = ["CUTWeights"]

from ...contracts.published import Arrays, PublishedWeights
from ..shared.residual import generator_options


class CUTWeights(PublishedWeights):
    """Names are this project's; the fixed filters of anti-aliasing are stored there, and constants here."""

    def names(self, network: str, arrays: Arrays) -> Arrays:
        return {name: value for name, value in arrays.items() if not name.endswith(".filt")}

    def options(self, network: str, arrays: Arrays) -> dict[str, object]:
        """What a generator's or the projection's arrays say about the options.

        Raises:
            UserError: the arrays are no generator with residual blocks.
        """
        if network == "F":
            last = arrays.get("mlp_0.2.weight")
            return {"netF_nc": int(last.shape[0])} if last is not None and last.ndim == 2 else {}
        if network != "G":
            return {}
        options, blocks = generator_options(arrays, "CUT", "model.12.conv_block.1.weight")
        up = f"model.{blocks[-1] + 1}.weight" in arrays
        return {"no_antialias": blocks[0] == 10, "no_antialias_up": up} | options
