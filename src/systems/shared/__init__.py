"""Owners of options that several systems have."""

__all__ = ["GAN", "INCEPTION", "PERCEPTUAL", "RESIDUAL", "SAMPLING", "own"]

from pathlib import Path

from ...metrics.owners import INCEPTION
from ...options.owner import Owner

_FOLDER = Path(__file__).parent

GAN = (
    Owner("adversarial systems", _FOLDER / "gan.yaml"),
    Owner("adversarial systems", _FOLDER / "gan_train.yaml", programs=("train",)),
)
PERCEPTUAL = Owner("perceptual losses", _FOLDER / "perceptual.yaml", programs=("train",))
RESIDUAL = Owner("generators with residual blocks", _FOLDER / "residual.yaml")
SAMPLING = Owner("sampling", _FOLDER / "sampling.yaml")


def own(name: str, folder: Path, **roles: str) -> tuple[Owner, ...]:
    """Owners named ``name``: ``options.yaml`` of ``folder`` for all programs, and ``role="FILE"`` for one role each."""
    return (
        Owner(name, folder / "options.yaml"),
        *(Owner(name, folder / file, programs=(role,)) for role, file in roles.items()),
    )
