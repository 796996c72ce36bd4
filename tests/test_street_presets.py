"""The presets for procedural streets, trained and evaluated by the commands that the README shows, made small."""

from pathlib import Path

import pytest

import eval as eval_command
import train as train_command
from tests.tiny_runs import make_streets

COMMON = "--device_target CPU --mode pynative"
_FLOW = "--out_channels [6,12] --width 32 --height 24 --max_iter 1"
SMALL = {
    "cut_streets": "--ngf 4 --ndf 4 --num_patches 16 --load_size 32 --fine_size 32 --niter 1 --niter_decay 0",
    "cyclegan_streets": "--ngf 4 --ndf 4 --n_residual_blocks 1 --load_size 32 --fine_size 32 --niter 1 --niter_decay 0",
    "hierarchyflow_streets": _FLOW,
    "hierarchyflow_streets_encoder": f"{_FLOW} --vgg_pre_trained random:1",
    "fullglow_streets": "--n_flow [1,1,1] --coupling_filters 8 --batch_size 2 --niter 1",
}
EVALUATED = {
    "cut_streets": ["--eval_size original", "--test_pairs True"],
    "cyclegan_streets": ["--eval_size original"],
    "hierarchyflow_streets": ["--eval_size original"],
    "hierarchyflow_streets_encoder": ["--eval_size original"],
    "fullglow_streets": ["--n_samples 3", "--task transfer"],
}


@pytest.mark.parametrize("preset", SMALL)
def test_the_preset(preset):
    for name in ("streets", "simulated_streets", "simulated_squares"):
        make_streets(Path("datasets") / name, train=2, test=2)
    words = f"--config_path configs/{preset}.yaml {COMMON}"
    assert not train_command.main(f"{words} {SMALL[preset]} --max_dataset_size 2 --no_html True".split())
    for more in EVALUATED[preset]:
        before = set(Path("results").rglob("*.png"))
        assert not eval_command.main(f"{words} {more} --how_many 1".split())
        assert set(Path("results").rglob("*.png")) - before


def test_both_directions_of_samples_with_one_name_are_shown():
    for name in ("streets", "simulated_streets"):
        make_streets(Path("datasets") / name, train=2, test=1)
    words = f"--config_path configs/cyclegan_streets.yaml {COMMON}"
    assert not train_command.main(f"{words} {SMALL['cyclegan_streets']}".split())
    assert not eval_command.main(words.split())
    shown = [path.name for path in Path("results").rglob("gallery/images/results/*")]
    assert len(shown) == 4 and sum("real" in name for name in shown) == 2
