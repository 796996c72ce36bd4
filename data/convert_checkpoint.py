"""Turn published weights into checkpoints of this project. PyTorch is not needed, and nothing in them is run.

One network:

    python data/convert_checkpoint.py --source latest_net_G.pth --name label2city_1024p --netG local --ngf 32

A folder, from which every network of --which_epoch is taken (latest_net_G.pth, latest_net_D.pth, ...):

    python data/convert_checkpoint.py --source checkpoints/label2city_512p_feat --name feat --instance_feat True

The weights of VGG19 for the perceptual loss, written to --vgg_pre_trained:

    python data/convert_checkpoint.py --vgg vgg19-dcbb9e9d.pth

Files are those of torch.save (.pth, .pt, .bin, .tar, .ckpt), .safetensors, and MindSpore's .ckpt.

Own options: --source FILE or FOLDER; --network NAME (several with commas) where the file name does not say it;
--vgg FILE. All other options are those of train.py and describe the networks: --config_path, --name, --save_ckpt_dir,
--which_epoch, --netG, --ngf, ... The result is {save_ckpt_dir}/{name}/{which_epoch}_net_{network}.safetensors. A
network that does not fit the options is refused with a list of the differences, and nothing is overwritten.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import src  # noqa: F401  (sets the environment before MindSpore is imported)
from src.contracts.system import System
from src.options.command_line import parse_words
from src.options.config import Config
from src.systems.programs import CONVERT, read_command
from src.utils.errors import UserError, run_command
from src.utils.files import explain_os_error
from src.utils.tensorfile import write_arrays
from src.utils.text import counted
from src.utils.weights import read_weights

SUFFIXES = (".pth", ".pt", ".bin", ".tar", ".ckpt", ".safetensors")
SHOWN = 12


def main(argv: list[str]) -> int:
    """Convert what the command line names."""
    if not argv or "--help" in argv or "-h" in argv:
        print(__doc__)
        return 0
    options = parse_words(argv)
    # of a network the last is an option of its training
    taken = ("source", "network", "vgg", *(("vgg_pre_trained",) if "vgg" in options else ()))
    own = {key: options.pop(key) for key in taken if key in options}
    description, config = read_command(CONVERT, [f"--{key}={value}" for key, value in options.items()])
    if ("source" in own) == ("vgg" in own):
        raise UserError("pass either --source FILE_OR_FOLDER or --vgg FILE")
    _use_cpu()
    if "vgg" in own:
        convert_vgg(Path(own["vgg"]), Path(own.get("vgg_pre_trained", "./vgg19.safetensors")))
    else:
        names = own["network"].split(",") if "network" in own else None
        convert(Path(own["source"]), names, description.load(), config)
    return 0


def _use_cpu() -> None:
    import mindspore as ms

    # copying weights needs no accelerator, and the asynchronous pipeline stalls on few cores
    ms.set_device("CPU")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    ms.runtime.launch_blocking()


def convert(source: Path, names: list[str] | None, system: type[System], config: Config) -> list[Path]:
    """Convert one file or a folder and return what was written.

    Raises:
        UserError: nothing to convert, weights that do not fit ``config``, or results that exist already.
    """
    from src.models.parameters import count_parameters, load_arrays, state_arrays
    from src.runs.checkpoint_reader import check_finite
    from src.runs.checkpoints import write_networks

    networks = _Networks(system, config)
    results, lines = {}, []
    for name, path in _find(source, names, networks, config).items():
        cell = networks[name]
        arrays = networks.read(path)
        try:
            networks.check_published(name, arrays, str(path))
            load_arrays(cell, networks.published_names(name, arrays), source=str(path))
        except UserError as error:
            raise UserError(f"{error}{networks.hint(name, arrays)}") from None
        results[name] = state_arrays(cell)
        check_finite(name, results[name], f"{path} is of no use")
        lines.append(f"{path.name}: {counted(len(results[name]), 'array')}, {count_parameters(cell):,} parameters")
    folder = Path(config.save_ckpt_dir) / config.name
    written = write_networks(folder, config.which_epoch, results, config.to_dict(), system.description.name)
    for line, path in zip(lines, written, strict=True):
        print(f"{line} -> {path}")
    for said, wanted in (("translation also needs", networks.needed), ("some uses also need", networks.optional)):
        absent = [name for name in wanted if name not in results]
        if absent:
            print(f"note: {said} {', '.join(absent)}, which {source} does not hold")
    return written


class _Networks:
    """The networks that a configuration describes, built when they are asked for."""

    def __init__(self, system: type[System], config: Config):
        self._class, self._config = system, config
        self._system = system(config, training=False)
        self._training = None
        self.optional = tuple(name for name in self._system.networks if name in self._system.optional_networks)
        self.needed = tuple(name for name in self._system.networks if name not in self.optional)

    def names(self) -> tuple[str, ...]:
        try:
            trained = self._trained().networks
        except UserError:
            # training lacks a file that converting has no use for
            trained = {}
        return tuple(dict.fromkeys([*self._system.networks, *trained]))

    def __getitem__(self, name: str):
        if name in self._system.networks:
            return self._system.networks[name]
        networks = self._trained().networks
        if name not in networks:
            raise UserError(
                f"{self._system.name} has no network {name} with these options: it has {', '.join(self.names())}"
            )
        return networks[name]

    def published_names(self, name: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._system.published.names(name, arrays)

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """Arrays of a published file, which may have a layout of the system's own."""
        arrays = self._system.published.read(path)
        return read_weights(path) if arrays is None else arrays

    @property
    def foreign_names(self) -> Mapping[str, str]:
        """Others' names of networks in files called EPOCH_net_NAME, and ours."""
        return self._system.published.networks

    def hint(self, name: str, arrays: dict[str, np.ndarray]) -> str:
        """The options that would fit, where the weights tell, or what the weights are instead."""
        try:
            options = self._system.published.options(name, arrays)
        except UserError as error:
            return f"\n{error}"
        words = "".join(f" --{key} {value}" for key, value in options.items())
        return f"\nThey look like{words}" if words else ""

    def check_published(self, name: str, arrays: dict[str, np.ndarray], source: str) -> None:
        self._system.published.check(self._system, name, arrays, source)

    def _trained(self):
        if self._training is None:
            self._training = self._class(self._config, training=True)
        return self._training


def _find(source: Path, names: list[str] | None, networks: _Networks, config: Config) -> dict[str, Path]:
    try:
        if source.is_dir():
            return _find_in_folder(source, names, networks, config.which_epoch)
        if not source.is_file():
            raise UserError(f"--source {source} does not exist: pass a file or a folder of published weights")
    except OSError as error:
        raise explain_os_error(error, source, "read") from error
    if names:
        return dict.fromkeys(names, source)
    match = re.search(r"net_(\w+)$", source.name.split(".")[0])
    if match:
        return {networks.foreign_names.get(match[1], match[1]): source}
    if source.name.split(".")[0] in networks.names():
        return {source.name.split(".")[0]: source}
    if len(networks.names()) == 1:
        return dict.fromkeys(networks.names(), source)
    raise UserError(
        f"the name {source.name} does not say which network it is: pass --network with one of "
        f"{', '.join(networks.names())}"
    )


def _find_in_folder(folder: Path, names: list[str] | None, networks: _Networks, epoch: str) -> dict[str, Path]:
    found = {}
    foreign = networks.foreign_names
    for name in names or networks.names():
        called = [theirs for theirs, ours in foreign.items() if ours == name]
        called += [] if name in foreign else [name]
        stems = [f"{prefix}net_{c}" for c in called for prefix in (f"{epoch}_", "")]
        for stem in (*stems, f"{name}_{epoch}", name):
            paths = [path for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()]
            if paths:
                found[name] = paths[0]
                break
    missing = [name for name in names or [] if name not in found]
    if missing or not found:
        wanted = ", ".join(f"{epoch}_net_{name}.pth" for name in missing or networks.names())
        files = sorted(path.name for path in folder.iterdir() if path.suffix in SUFFIXES)
        shown = ", ".join(files[:SHOWN]) + (", ..." if len(files) > SHOWN else "")
        raise UserError(
            f"{folder} holds no {wanted}; it holds {shown or 'no weights at all'}: pass another --which_epoch, "
            "or one file with --source FILE --network NAME"
        )
    return found


def convert_vgg(source: Path, target: Path) -> None:
    """Write the convolutions of a published VGG19 up to conv5_1 as float32.

    Raises:
        UserError: ``source`` is another network, or ``target`` exists or is no .safetensors file.
    """
    from src.models.parameters import load_arrays, named_parameters, state_arrays
    from src.models.published_vgg import read_vgg19
    from src.models.vgg import VGG19

    if target.suffix != ".safetensors":
        raise UserError(f"--vgg_pre_trained {target} names the result and must end with .safetensors")
    if target.exists():
        raise UserError(f"{target} exists already and is not overwritten: move it away or pass --vgg_pre_trained")
    vgg = VGG19()
    wanted = named_parameters(vgg)
    used = {name: array for name, array in read_vgg19(source).items() if name in wanted}
    load_arrays(vgg, used, source=f"{source} (torchvision's VGG19 was expected)")
    written = write_arrays(target, state_arrays(vgg), {"network": "vgg19", "format": "np"}, overwrite=False)
    print(f"{source.name}: {counted(len(used), 'array')} -> {target}, sha256 {written.sha256}")


if __name__ == "__main__":
    run_command(main)
