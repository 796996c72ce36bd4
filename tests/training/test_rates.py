"""Learning rates of the update groups."""

import pytest

from src.systems.registry import SYSTEMS, create_system
from tests.training.two_workers import config_of, size_of


@pytest.mark.parametrize("name", [name for name in SYSTEMS if "lr_D" in config_of(name)])
def test_discriminators_have_a_rate_of_their_own(name):
    config = config_of(name)
    for given in (0.0, 3e-5):
        groups = create_system(config.replace(lr_D=given)).objective(size_of(config)).groups(1)
        rates = {group.name: group.lr for group in groups}
        judges = {key for key in rates if key.startswith("D")}
        assert judges and judges != rates.keys()
        assert {rates.pop(key) for key in judges} == {given or config.lr}
        assert set(rates.values()) == {config.lr}


def test_adversarial_systems_have_that_option():
    assert {name for name in SYSTEMS if "lr_D" in config_of(name)} == {"pix2pixHD", "cyclegan", "cut"}
