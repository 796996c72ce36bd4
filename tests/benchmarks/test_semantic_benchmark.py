"""The comparison of the ways of semantic consistency: from scenes to the table, at sizes that say only that it runs."""

import json

import numpy as np
import pytest
from mindspore import Tensor

from benchmarks import semantic
from benchmarks.skies.judge import Judge, see, train
from benchmarks.skies.measure import seen
from src.metrics.segmentation_scores import CLASSES
from src.runs.checkpoint_reader import newest_options
from src.utils.errors import UserError

SKY, TREES, ROAD = (CLASSES.index(name) for name in ("sky", "vegetation", "road"))
TINY = (
    "--mode=pynative", "--device_target=CPU", "--scenes=2", "--test=2", "--judge_steps=1", "--seeds=0,1", "--ngf=4",
    "--ndf=4", "--n_residual_blocks=1", "--semantic_width=4", "--niter=1", "--niter_decay=0", "--max_dataset_size=1",
)  # fmt: skip


def test_runs_are_trained_measured_and_not_again(tmp_path, capsys):
    work = tmp_path / "work"
    words = [f"--work={work}", *TINY]
    assert semantic.main(words) == 0
    table = (work / "semantic.md").read_text()
    assert table in capsys.readouterr().out
    facts = json.loads((work / "semantic.json").read_text())
    runs = [f"{way}_{seed}" for way in semantic.WAYS for seed in (0, 1)]
    assert set(facts["results"]) == {"A", "B", *runs} and facts["scenes"] == 2
    kept = [facts["results"][f"none_{seed}"]["sky_kept"] for seed in (0, 1)]
    assert f"| `--semantic none` | {kept[0]:.2f}, {kept[1]:.2f}: {np.mean(kept):.2f} |" in table
    assert facts["results"]["A"]["layout"] == pytest.approx(1) and facts["results"]["B"]["style"] < 0.02

    # each frozen run has the segmenter of the other seed
    used = newest_options(work / "checkpoints" / "frozen_0")["semantic_weights"]
    assert used == str(work / "checkpoints" / "joint_1" / "1_net_S.safetensors")

    # what is missing is made from what there is, and nothing is trained again
    weights = sorted(work.rglob("*.safetensors"))
    written = [path.stat().st_mtime_ns for path in weights]
    (work / "results" / "none_1.json").unlink()
    assert semantic.main([*words, "--ways=none"]) == 0
    assert json.loads((work / "semantic.json").read_text()) == facts
    assert sorted(work.rglob("*.safetensors")) == weights
    assert [path.stat().st_mtime_ns for path in weights] == written
    with pytest.raises(UserError, match="was begun with test 2, not 3: pass another --work"):
        semantic.main([*words, "--test=3"])


def test_shares_of_the_sky():
    """A judge that sees sky where red is full, trees where green is, else road."""
    labels = np.full((2, 4, 4), SKY, np.uint8)
    labels[1] = TREES
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[0, :2, :, 0] = images[0, 2, :, 1] = images[1, :3, :, 1] = 255

    def judge(units):
        red, green = (units.asnumpy()[:, k] > 0 for k in (0, 1))
        wanted = np.where(red, SKY, np.where(green, TREES, ROAD))
        return Tensor((wanted[:, None] == np.arange(len(CLASSES)).reshape(1, -1, 1, 1)).astype(np.float32))

    wanted = {"sky_kept": 0.5, "sky_to_vegetation": 0.25, "vegetation_kept": 0.75, "sky_iou": 0.5}
    # trees have 0.6; road is seen where there is none
    assert seen(judge, images, labels) == pytest.approx(wanted | {"miou": (0.5 + 0.6 + 0) / 3})


def test_the_judge_learns():
    """Sky above, road below, in colours that say so."""
    rng = np.random.default_rng(0)
    labels = np.full((10, 16, 16), ROAD, np.uint8)
    labels[:, :8] = SKY
    labels[5:] = labels[5:, ::-1]
    images = np.where(labels[..., None] == SKY, 200, 40) + rng.integers(0, 20, (10, 16, 16, 3))
    network, images = Judge(8), images.astype(np.uint8)
    before = (see(network, images) == labels).mean()
    train(network, images, labels, 40)
    assert (see(network, images) == labels).mean() > 0.35 > 0.2 > before


@pytest.mark.parametrize(
    "words, said",
    [
        (["--ways=none,thawed"], "ways thawed: known are none, joint, frozen"),
        (["--ways=frozen"], "takes the segmenter of a run with joint, so pass --ways frozen,joint"),
        (["--seeds=1,1"], "seeds 1,1 are not different whole numbers"),
        (["--scenes=0"], "scenes 0 is not a number above 0, such as 300"),
        (["--semantic=joint"], "option semantic belongs to this benchmark"),
        (["--lambda_semantics=2"], "lambda_semantic"),
    ],
)
def test_refusals(words, said, tmp_path):
    with pytest.raises(UserError, match=said):
        semantic.main([f"--work={tmp_path / 'work'}", *TINY, *words])
    assert not (tmp_path / "work").exists()
