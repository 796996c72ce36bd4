"""Published hflow checkpoints: names of parameters, and files that hold a whole pickled module.

Such a file is the name of a Python module, the source code of the network, a pickled module (the averaged weights), a
pickled optimizer state and the settings as JSON. The source is not run and nothing is imported.
"""

__all__ = ["HFlowWeights", "PublishedModel", "is_published_file", "published_arrays", "read_published"]

import json
import struct
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from ...contracts.published import Arrays, PublishedWeights
from ...utils.errors import UserError
from ...utils.files import explain_os_error, open_regular
from ...utils.pth import read_module

# fixed filters and masks, which are constants here
_CONSTANTS = ("interp_K", "interp_K_down", "mask_in", "mask_out", "_mask_for_style", "_mask_for_base")
_NETWORK = "hflow.network"
_CLASSES = {
    "Actnorm", "CouplingCNN", "EncoderDecoder", "EncoderDecoderBlock", "GlobalStateNetwork", "MultiStep", "MyConv",
    "MyLinear", "OneStep", "PartitionedEndblock", "Permute", "PoolingCouplingCNN", "ResolutionSteps", "Step",
    "UnitaryPermute", "Unet",
}  # fmt: skip
# other names in a pickled PyTorch module: containers, bound methods, numpy numbers, devices and types
_OTHERS = {
    ("torch.nn.modules.container", "ModuleList"),
    ("torch.nn.modules.linear", "Identity"),
    ("__builtin__", "getattr"),
    ("builtins", "getattr"),
    ("__builtin__", "set"),
    ("builtins", "set"),
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("torch", "device"),
}
_MAX_NAME, _MAX_SOURCE, _MAX_SETTINGS = 1 << 10, 16 << 20, 1 << 20


@dataclass(frozen=True)
class PublishedModel:
    """Weights under this project's names, and the settings tree, or None in files that lack it."""

    arrays: Arrays
    settings: dict[str, Any] | None


class HFlowWeights(PublishedWeights):
    """Files ``model_iter_*.bin``: the averaged weights, for ``F_ema``, and for ``F`` to go on."""

    def read(self, path: Path) -> Arrays | None:
        return read_published(path).arrays if is_published_file(path) else None

    def names(self, network: str, arrays: Arrays) -> Arrays:
        return published_arrays(arrays)


def published_arrays(arrays: Arrays) -> Arrays:
    """A published state dict under our names: ``_U`` is ``U``, constants are left out, the rest is equal."""
    renamed = {}
    for name, value in arrays.items():
        prefix, _, last = name.rpartition(".")
        if last in _CONSTANTS:
            continue
        renamed[f"{prefix}.U" if last == "_U" else name] = value
    return renamed


def _knows(module: str, name: str) -> bool:
    return (module == _NETWORK and name in _CLASSES) or (module, name) in _OTHERS


def is_published_file(path: str | Path) -> bool:
    """Whether a file begins as published checkpoints do: with the length and the name of a module."""
    try:
        with open_regular(path) as stream:
            head = stream.read(4 + len(_NETWORK))
    except OSError:
        return False
    return head == struct.pack("<I", len(_NETWORK)) + _NETWORK.encode()


def read_published(path: str | Path) -> PublishedModel:
    """Read a published checkpoint (``model_iter_*.bin``) without running anything that is in it.

    Raises:
        UserError: the file is damaged, or mentions anything beyond hflow's own classes and tensors: such a file is
            refused, and the message says what it mentions.
    """
    path = Path(path)
    if not is_published_file(path):
        raise UserError(f"{path} is not a published hflow checkpoint: pass a model_iter_*.bin file")
    try:
        with open_regular(path) as stream:
            _block(stream, path, _MAX_NAME, "module name")
            _block(stream, path, _MAX_SOURCE, "source code")
            arrays = read_module(stream, path, _knows)
            # the optimizer's state, which starts anew here
            read_module(stream, path, _knows, wants=False)
            settings = _settings(stream, path)
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    return PublishedModel(published_arrays(arrays), settings)


def _block(stream: BufferedReader, path: Path, limit: int, what: str) -> bytes:
    head = stream.read(4)
    length = struct.unpack("<I", head)[0] if len(head) == 4 else limit + 1
    if length > limit:
        raise UserError(f"{path} is damaged or cut short: its {what} has no believable length; copy it again")
    data = stream.read(length)
    if len(data) < length:
        raise UserError(f"{path} is cut short in its {what}: copy it again")
    return data


def _settings(stream: BufferedReader, path: Path) -> dict[str, Any] | None:
    if not stream.peek(1):
        return None
    try:
        settings = json.loads(_block(stream, path, _MAX_SETTINGS, "settings"))
    except ValueError as error:
        raise UserError(f"the settings at the end of {path} are damaged ({error}): copy it again") from error
    return settings if isinstance(settings, dict) else None
