"""Systems by the name that ``--model`` takes. Adding a system is adding a folder, a configuration and a line here."""

__all__ = ["SYSTEMS", "create_system", "system_class"]

from importlib import import_module
from typing import Any

from src.models.system import System
from src.utils.errors import UserError

SYSTEMS = {
    "cglow": "src.models.glow.system:CGlowSystem",
    "cyclegan": "src.models.cyclegan.system:CycleGAN",
    "dualglow": "src.models.glow.system:DualGlowSystem",
    "fullglow": "src.models.glow.system:FullGlowSystem",
    "hflow": "src.models.hflow.system:HFlowSystem",
    "hierarchyflow": "src.models.hierarchyflow.system:HierarchyFlowSystem",
    "pix2pixHD": "src.models.pix2pixhd.system:Pix2PixHD",
}


def system_class(name: str) -> type[System]:
    """The class of a system, imported when it is first asked for."""
    if name not in SYSTEMS:
        raise UserError(f"model {name} is not one of {', '.join(SYSTEMS)}")
    module, _, attribute = SYSTEMS[name].partition(":")
    return getattr(import_module(module), attribute)


def create_system(config: Any, training: bool = True) -> System:
    """Build the system that ``config.model`` names, with freshly initialised networks."""
    return system_class(config.model)(config, training)
