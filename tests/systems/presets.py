"""What a preset means, for the tests that hold each to what it meant in every version."""

__all__ = ["check_preset"]

from collections.abc import Mapping

from src.systems.programs import load_config


def check_preset(preset: str, model: str, base: Mapping[str, object], changes: Mapping[str, object]) -> None:
    """``base`` are defaults of ``model``, and ``configs/PRESET.yaml`` is these defaults but for ``changes``."""
    defaults = load_config([f"--model={model}"]).to_dict()
    assert {key: defaults[key] for key in base} == base
    values = load_config([f"--config_path=configs/{preset}.yaml"]).to_dict()
    assert values == defaults | changes | {"name": preset}
