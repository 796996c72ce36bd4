"""Published CUT weights: ``latest_net_G.pth``, ``latest_net_F.pth`` and ``latest_net_D.pth``."""

__all__ = ["CUTWeights"]

import re

from ...contracts.published import Arrays, PublishedWeights
from ...utils.errors import UserError


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
        blocks = {int(m[1]) for name in arrays if (m := re.match(r"model\.(\d+)\.conv_block\.", name))}
        first = arrays.get("model.1.weight")
        if not blocks or first is None or first.ndim != 4:
            raise UserError(
                "these weights are not a CUT generator with residual blocks: expected names such as model.1.weight "
                f"and model.12.conv_block.1.weight, found {', '.join(sorted(arrays)[:5]) or 'nothing'}"
            )
        return {
            "no_antialias": min(blocks) == 10,
            "no_antialias_up": f"model.{max(blocks) + 1}.weight" in arrays,
            "n_residual_blocks": len(blocks),
            "ngf": int(first.shape[0]),
            "input_nc": int(first.shape[1]),
        }
