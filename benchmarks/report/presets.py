"""The options that a mode of pix2pixHD is timed and simulated with."""

__all__ = ["options_of_mode"]

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: networks of a few channels, whose time says nothing but that they run
_SMALL = {"ngf": 4, "ndf": 4, "nef": 2, "n_blocks_global": 1, "n_blocks_local": 1, "num_D": 1, "no_vgg_loss": True}
_SMALL_SIZE = (64, 128)


def options_of_mode(mode: str, small: bool, words: list[str]) -> tuple[list[str], tuple[int, int] | None]:
    """Words of a command line and the size of the images; None is that of the preset."""
    options = ["--config_path", str(ROOT / "configs" / f"pix2pixhd_{mode}.yaml"), *words]
    if not small:
        return options, None
    return [*options, *(f"--{key}={value}" for key, value in _SMALL.items())], _SMALL_SIZE
