"""The studio of a model: what the editor does with each kind of system."""

__all__ = ["open_studio"]

from src.editing.studio import Studio
from src.editing.studio_flows import FlowStudio, LatentStudio
from src.editing.studio_paired import PairedStudio
from src.editing.studio_unpaired import DirectionStudio, LookStudio
from src.inference.conditional import ConditionalFlowModel
from src.inference.images import ImageFlowModel
from src.inference.model import Model
from src.inference.paired import PairedModel
from src.inference.unpaired import CycleGANModel, HierarchyFlowModel
from src.utils.errors import UserError


def open_studio(model: Model, options: dict[str, str]) -> Studio:
    """The studio of a model, with documents from the folders that ``options`` or the run name.

    Raises:
        UserError: there is nothing to edit there.
    """
    for kind, studio in (
        (PairedModel, PairedStudio),
        (ConditionalFlowModel, FlowStudio),
        (ImageFlowModel, LatentStudio),
        (CycleGANModel, DirectionStudio),
        (HierarchyFlowModel, LookStudio),
    ):
        if isinstance(model, kind):
            return studio(model, options)
    raise UserError(f"the editor does not know the system {model.system.name}")
