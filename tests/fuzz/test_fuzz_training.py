"""Options that are known and in range, in combinations that nobody tried, and training states that somebody changed."""

import json
import shutil

import numpy as np

import train
from src.runs.manifest import _checksum
from src.utils.files import sha256_file
from src.utils.tensorfile import read_arrays, write_arrays
from tests.fuzz.mutations import INPUTS, Trial, damaged, try_inputs
from tests.tiny_runs import make_streets, options_of

VALUES = {
    "n_downsample_global": (1, 3, 5, 8), "n_blocks_global": (0, 2), "num_D": (1, 6), "n_layers_D": (1, 6),
    "ngf": (1, 3), "n_downsample_E": (1, 8), "n_local_enhancers": (1, 4), "netG": ("local",), "norm": ("batch",),
    "label_nc": (0, 1, 36, 256), "feat_num": (1, 5), "instance_feat": (True,), "label_feat": (True,),
    "no_instance": (True,), "load_features": (True,), "batch_size": (2, 3), "load_size": (1, 33, 96),
    "fine_size": (1, 64), "max_instances": (1, 5), "lr": (0, 1e30),
    "resize_or_crop": ("scale_width_and_crop", "resize_and_crop", "crop", "none"), "beta1": (0, 1), "beta2": (0, 1),
    "niter": (0,), "pool_size": (3,), "accumulation": (3,), "clip_norm": (1e-30,), "loss_scale": (1e38,),
    "seed": (2**32 - 1,), "precision": ("fp16", "bf16"), "recompute": (True,), "init_gain": (0, 1e30),
    "init_type": ("constant", "xavier"), "num_workers": (1, 64), "record_shards": (2, 1000),
    "max_dataset_size": (1, 99), "niter_fix_global": (1, 5), "keep_last": (1,), "which_epoch": ("x", "../y"),
    "phase": ("test", "x", "../data/train"), "name": ("..", ".", "", "a b", "ü/x"), "device_id": (7,),
    "output_nc": (1, 4), "load_pretrain": ("x", "data"), "continue_train": (True,), "lr_policy": ("cosine",),
    "debug": (True,),
}  # fmt: skip


def test_options_of_a_training(working_folder):
    """All is built, up to the first step."""
    rng = np.random.default_rng(21)
    data = make_streets(working_folder / "data", train=2, test=1)

    def trials():
        for number in range(INPUTS["options of a training"]):
            keys = rng.choice(list(VALUES), size=int(rng.integers(1, 4)), replace=False)
            changes = {key: VALUES[key][int(rng.integers(len(VALUES[key])))] for key in keys}
            fixed = {"data_root": data, "name": f"run{number}", "records_dir": working_folder / "records"}
            words = options_of(**fixed | {"dry_run": True, "no_html": True} | changes)
            yield Trial(lambda words=words: train.main(words), data)

    try_inputs("options of a training", trials())


def test_training_states(working_folder):
    """With right checksums, as a stranger would make them: a run goes on from them, or says what is wrong."""
    rng = np.random.default_rng(22)
    data = make_streets(working_folder / "data", train=2, test=1)
    words = options_of(data_root=data, name="run", pool_size=2, no_html=True, records_dir=working_folder / "records")
    assert train.main(words) == 0
    whole, folder = working_folder / "whole", working_folder / "checkpoints" / "run"
    shutil.copytree(folder, whole)
    arrays, metadata = read_arrays(whole / "1_state.safetensors")

    def changed(number):
        result = dict(arrays)
        names = ["run.steps_per_epoch", "run.step"] if number % 2 else sorted(result)
        name = names[int(rng.integers(len(names)))]
        odd = (
            None,
            np.zeros(()),
            np.zeros(0),
            np.full(3, np.nan),
            np.full((1,), -(2**62)),
            np.full((1,), np.inf),
            np.zeros((2, 2)),
        )
        value = odd[number // 2 % len(odd)]
        if value is None:
            del result[name]
        else:
            result[name] = value
        return result

    def trials():
        for number in range(INPUTS["training states"]):
            shutil.rmtree(folder)
            shutil.copytree(whole, folder)
            path = folder / "1_state.safetensors"
            write_arrays(path, changed(number), metadata)
            if number % 7 == 6:
                path.write_bytes(damaged(path.read_bytes(), rng, 1))
            body = json.loads((folder / "manifest.json").read_text())
            del body["checksum"]
            file = body["checkpoints"][0]["files"]["state"]
            file |= {"sha256": sha256_file(path), "size": path.stat().st_size}
            (folder / "manifest.json").write_text(json.dumps({"checksum": _checksum(body), **body}))
            again = [*words, "--continue_train=True", "--niter=2"]
            yield Trial(lambda again=again: train.main(again), data)

    try_inputs("training states", trials())
