"""ONNX Runtime instead of MindSpore: a system's passes run from exported files, everything else is unchanged."""

__all__ = ["OnnxPass", "choose_providers", "load_session", "require", "use_onnx", "weights_of"]

import hashlib
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from ..contracts.passes import Pass
from ..contracts.system import System
from ..models.parameters import state_arrays
from ..utils.errors import UserError

_PREFERRED = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
_INSTALL = "pip install -r requirements-export.txt"


def require(package: str) -> Any:
    """Import ``onnx`` or ``onnxruntime``, which are extras.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise UserError(f"ONNX files need the packages onnx and onnxruntime ({error}): {_INSTALL}") from None


def choose_providers(device_target: str) -> list[str]:
    """The available providers among TensorRT, CUDA and CPU, in this order; ``CPU`` selects the CPU only.

    Raises:
        UserError: ``GPU`` is requested and this ONNX Runtime has no GPU provider.
    """
    present = require("onnxruntime").get_available_providers()
    chosen = [name for name in _PREFERRED if name in present]
    if device_target == "CPU":
        return chosen[-1:]
    if device_target == "GPU" and len(chosen) == 1:
        raise UserError(
            "this ONNX Runtime runs on the CPU alone: pip install onnxruntime-gpu (instead of onnxruntime), "
            "or leave --device_target out"
        )
    return chosen


def load_session(path: Path, providers: Sequence[str] = _PREFERRED[-1:]) -> Any:
    """Open an ONNX file.

    Raises:
        UserError: the file is missing, or this runtime cannot run it.
    """
    runtime = require("onnxruntime")
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: export it with export.py, or pass --onnx_file FILE")
    options = runtime.SessionOptions()
    # warnings about nodes that run on another provider are irrelevant to users
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # ONNX Runtime's errors have no base class of their own
        raise UserError(f"ONNX Runtime cannot open {path}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def weights_of(cell: nn.Cell) -> str:
    """A checksum of the weights of a Cell, by which an exported file is recognised."""
    digest = hashlib.sha256()
    for name, array in sorted(state_arrays(cell).items()):
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class OnnxPass:
    """A pass run from a file: it takes the arguments of the pass and returns its results.

    The file's batch is fixed: more samples are run in several calls, fewer are filled up by repetition.
    """

    def __init__(self, path: Path, session: Any, replaced: Pass):
        self.path, self.session, self.replaced = path, session, replaced
        self.inputs = {given.name: tuple(given.shape) for given in session.get_inputs()}
        self.outputs = [given.name for given in session.get_outputs()]

    def __call__(self, *values: Any) -> Any:
        names = [port.name for port in self.replaced.inputs]
        arrays = {n: _numpy(v) for n, v in zip(names, values, strict=True) if n in self.inputs}
        return self.replaced.pack([Tensor(result) for result in self.run(arrays)])

    def run(self, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The results for named inputs, any number of samples.

        Raises:
            UserError: a size that the file was not made for, or a failure inside ONNX Runtime.
        """
        ports = {port.name: port for port in self.replaced.inputs}
        batched = [name for name in arrays if ports[name].shape[0] == "batch"]
        count = len(arrays[batched[0]])
        size = self.inputs[batched[0]][0]
        parts = []
        for begin in range(0, count, size):
            rows = np.minimum(np.arange(begin, begin + size), count - 1)
            part = {name: a[rows] if name in batched else a for name, a in arrays.items()}
            for name, array in part.items():
                self._check(name, array.shape)
            parts.append(self._run(part))
        return [np.concatenate(pieces)[:count] for pieces in zip(*parts, strict=True)]

    def _run(self, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
        try:
            return self.session.run(self.outputs, arrays)
        except Exception as error:  # ONNX Runtime's errors have no base class of their own
            raise UserError(f"ONNX Runtime fails on {self.path}: {_first_line(error)}") from None

    def _check(self, name: str, shape: tuple[int, ...]) -> None:
        made_for = self.inputs[name]
        if len(shape) != len(made_for) or any(b not in (a, str(b)) for a, b in zip(shape, made_for, strict=True)):
            raise UserError(
                f"{self.path} takes {name} of {'x'.join(map(str, made_for))}, and was given {'x'.join(map(str, shape))}"
                ": export it again with --height and --width of these images, or with --flexible_size True"
            )


def _numpy(value: Any) -> np.ndarray:
    return np.ascontiguousarray(value.asnumpy() if isinstance(value, Tensor) else value)


def use_onnx(system: System, folder: Path, onnx_file: str, device_target: str, say: Callable[[str], None]) -> None:
    """Run every pass of ``system`` for which there is a file in ONNX Runtime.

    ``onnx_file`` is a file or a folder of files; empty means those that export.py wrote to the run's ``folder``.

    Raises:
        UserError: no file, a file of another system or other weights, two files of one pass.
    """
    place = Path(onnx_file) if onnx_file else folder
    paths = sorted(place.glob("*.onnx")) if place.is_dir() else [place]
    passes = {p.name: p for p in system.passes()}
    providers = choose_providers(device_target)
    found: dict[str, OnnxPass] = {}
    for path in paths:
        session = load_session(path, providers)
        about = session.get_modelmeta().custom_metadata_map
        name = about.get("pass", "")
        if about.get("model") != system.name or name not in passes:
            if path == place:
                raise UserError(f"{path} holds no network of {system.name}: pass a file that export.py wrote")
            continue
        if name in found:
            raise UserError(f"{found[name].path} and {path} both hold {name}: name one with --onnx_file")
        if about.get("weights") != weights_of(passes[name].cell):
            raise UserError(
                f"{path} holds other weights than this checkpoint (it was made of checkpoint {about.get('checkpoint')} "
                f"of {about.get('name')}): export it again, or choose its checkpoint with --which_epoch"
            )
        found[name] = OnnxPass(path, session, passes[name])
    if not found:
        raise UserError(f"{place} holds no exported network of {system.name}: make one with export.py, or --onnx_file")
    for name, runs in found.items():
        passes[name].replace(runs)
        say(f"{name} runs in ONNX Runtime from {runs.path} ({', '.join(runs.session.get_providers())})")
    for name in passes.keys() - found.keys():
        say(f"{name} runs in MindSpore: {place} holds no ONNX file of it")
