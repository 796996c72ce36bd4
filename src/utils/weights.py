"""Published weights from files of every supported format, under the names inside the network."""

__all__ = ["read_weights", "strip_wrappers"]

import os
import re
from pathlib import Path

import numpy as np

from .errors import UserError
from .files import open_regular
from .mindspore_ckpt import read_ckpt
from .pth import read_pth
from .tensorfile import read_arrays

# parts of a name that PyTorch's data-parallel, compiled, sharded and recomputing wrappers add
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# training checkpoints hold the network and the optimizer; the optimizer's container is not used
_CONTAINER = re.compile(r"(?!optim)\w*state_dict$")
# the attribute of a training object that is the network: netG, netD_A
_ATTRIBUTE = re.compile(r"net[A-Z]\w*$")


def read_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return the arrays of a network in a published file: ``.safetensors``, MindSpore's ``.ckpt``, or of torch.save.

    Names are those of :func:`strip_wrappers`. A ``.ckpt`` of torch.save is recognised by its contents.

    Raises:
        UserError: the file cannot be read, is damaged or hostile, or holds no arrays or several networks.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        arrays = read_arrays(path)[0]
    elif path.suffix == ".ckpt" and not _is_torch(path):
        arrays = read_ckpt(path)
    else:
        arrays = read_pth(path)
    return strip_wrappers(arrays, path)


def _is_torch(path: Path) -> bool:
    try:
        with open_regular(path) as stream:
            return stream.read(4).startswith((b"PK\x03\x04", b"\x80"))
    except OSError:
        return False  # the reader reports the error


def strip_wrappers(arrays: dict[str, np.ndarray], source: str | os.PathLike = "this file") -> dict[str, np.ndarray]:
    """Return ``arrays`` under their names inside the network itself.

    Of a training checkpoint the arrays in its container (``state_dict``, ``model_state_dict``, ...) are taken. Then
    prefixes are removed, in any order and depth: those of data-parallel training (``module.``) and compilation
    (``_orig_mod.``), and an attribute that all names begin with (``netG.``).

    Raises:
        UserError: two names become one, or there are several containers; the message names ``source``.
    """
    outermost = {name.split(".")[0] for name in arrays if "." in name}
    containers = sorted(part for part in outermost if _CONTAINER.match(part))
    if len(containers) > 1:
        raise UserError(
            f"{source} holds several networks ({', '.join(containers[:5])}): save the one that is meant in a file of "
            "its own"
        )
    if containers:
        start = f"{containers[0]}."
        arrays = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
    names: dict[str, str] = {}
    for name in arrays:
        short = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        if short in names:
            raise UserError(
                f"{source} holds {names[short]} and {name}, which are one parameter without the names of wrappers: "
                "save the network anew, once"
            )
        names[short] = name
    attributes = {short.split(".")[0] for short in names}
    if len(attributes) == 1 and _ATTRIBUTE.match(next(iter(attributes))) and not attributes & names.keys():
        names = {short.split(".", 1)[1]: name for short, name in names.items()}
    return {short: arrays[name] for short, name in names.items()}
