"""What a run leaves behind, and somebody or something changed: manifests, networks, stored options, tables, logs."""

import io
import json
import shutil

import numpy as np

from src.inference.opening import open_model
from src.models.parameters import state_arrays
from src.runs.checkpoints import CheckpointStore, Position, write_networks
from src.runs.log import read_log
from src.runs.manifest import _checksum
from src.systems.pix2pixhd.clusters import FeatureClusters
from src.systems.programs import EVAL, TRAIN, read_command
from tests.fuzz.mutations import INPUTS, Trial, damaged, spliced, try_inputs
from tests.tiny_runs import options_of

ODD = (None, True, -1, 0, 2**70, 1.5, "", "x", "a" * 300, "../up", "/etc/passwd", "x\0y", [], [1], {}, {"a": 1}, "nan")


def odd(rng):
    return ODD[int(rng.integers(len(ODD)))]


def changed(tree, rng):
    """A JSON tree in which one value is of another kind, gone, or has another name."""
    tree = json.loads(json.dumps(tree))
    places = []

    def collect(node):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                collect(node[key])

    collect(tree)
    node, key = places[int(rng.integers(len(places)))]
    kind = int(rng.integers(4))
    if kind == 0 and isinstance(node, dict):
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[str(odd(rng))] = node.pop(key)
    else:
        node[key] = odd(rng)
    return tree


def test_checkpoint_folders(working_folder):
    rng = np.random.default_rng(13)
    whole, folder = working_folder / "whole", working_folder / "run"
    store = CheckpointStore(whole)
    for epoch in (1, 2):
        networks = {name: {"weight": np.full((2, 3), epoch, np.float32)} for name in ("G", "D")}
        state = {"optimizer.G.step": np.array(epoch), "run.steps_per_epoch": np.array([4])}
        store.save(Position(epoch, 0), networks, state, {"model": "pix2pixHD", "ngf": 4}, "pix2pixHD")
    files = sorted(path.name for path in whole.glob("*.safetensors"))
    manifest = json.loads((whole / "manifest.json").read_text())
    del manifest["checksum"]

    def changed_folder(number):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        kind = number % 5
        if kind == 0:
            path = folder / "manifest.json"
            path.write_bytes(damaged(path.read_bytes(), rng))
        elif kind in (1, 2):  # with a right checksum, as a stranger would make it
            body = changed(manifest, rng)
            for _ in range(int(rng.integers(3))):
                body = changed(body, rng) if body else body
            checksum = _checksum(body) if isinstance(body, dict) else ""
            text = json.dumps({"checksum": checksum, **body} if isinstance(body, dict) else body)
            (folder / "manifest.json").write_text(text)
        else:
            path = folder / files[int(rng.integers(len(files)))]
            path.write_bytes(damaged(path.read_bytes(), rng) if number % 2 else b"")
            if kind == 4:
                (folder / "manifest.json").unlink()

    def read(which):
        warnings = []
        reader = CheckpointStore(folder, refuse_nonfinite=True, warn=warnings.append)
        reader.describe()
        checkpoint = reader.load(which)
        assert all(array.size for arrays in checkpoint.networks.values() for array in arrays.values())
        assert checkpoint.position.tag and isinstance(checkpoint.config, dict)
        assert all(len(text) < 5000 for text in warnings)

    def trials():
        for number in range(INPUTS["checkpoint folders"]):
            changed_folder(number)
            which = ("latest", "1", "2", "3")[number % 4 if number % 3 == 0 else 0]
            yield Trial(lambda which=which: read(which), folder, str(folder))

    try_inputs("checkpoint folders", trials())


def test_checkpoints_of_a_run(working_folder):
    """Networks without a manifest, as people copy them, whose stored options are not what they were."""
    rng = np.random.default_rng(14)
    tiny = {"ngf": 2, "n_downsample_global": 1, "n_blocks_global": 0}
    description, config = read_command(TRAIN, options_of(name="run", **tiny))
    system = description.load()
    networks = {name: state_arrays(cell) for name, cell in system(config, training=False).networks.items()}
    _, command = read_command(EVAL, ["--device_target=CPU", "--mode=pynative"])
    command = command.replace(name="run")
    folder = working_folder / "checkpoints" / "run"
    options = config.to_dict()

    def odd_options(number):
        if number % 4 == 0:
            return options
        return changed(options, rng)

    def trials():
        for number in range(INPUTS["checkpoints of a run"]):
            shutil.rmtree(folder, ignore_errors=True)
            write_networks(folder, "latest", networks, odd_options(number), "pix2pixHD")
            if number % 8 == 4:
                path = folder / "latest_net_G.safetensors"
                path.write_bytes(damaged(path.read_bytes(), rng, 1))
            yield Trial(lambda: open_model(command, system), folder, "")

    try_inputs("checkpoints of a run", trials())


def test_tables(working_folder):
    """Clusters of features: plain arrays, also where the file says that it is not one."""
    rng = np.random.default_rng(15)
    folder = working_folder / "data"
    folder.mkdir()
    path = folder / "features_clustered_010.npy"
    rows = np.column_stack([np.arange(6) % 3, rng.standard_normal((6, 3))]).astype(np.float32)

    def saved(save, *arrays, **options):
        buffer = io.BytesIO()
        save(buffer, *arrays, **options)
        return buffer.getvalue()

    def header(text):
        text = text.encode() + b"\n"
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text

    good = saved(np.save, rows)
    handmade = [
        saved(np.save, np.array([{"a": 1}], object)),
        saved(np.savez, rows), saved(np.save, rows[:0]), b"", b"PK\x03\x04",
        saved(np.save, rows * np.nan), saved(np.save, rows.astype(np.float16)), saved(np.save, rows[:, 0]),
        b"\x80\x04.",
        saved(np.save, np.array([["x", "y"]])), saved(np.save, rows.astype(np.int64)), saved(np.save, rows * 1e38),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4)}"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4)}"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "(" * 300),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (2, 4)}") + bytes(64),
        header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 4)}") + bytes(64),
        header("__import__('os').system('touch it_ran')"), header("9" * 5000), header("{'descr': '<f4'}"),
    ]  # fmt: skip

    def read():
        clusters = FeatureClusters.load(path, 3)
        regions = np.arange(8).reshape(2, 4) % 3
        drawn = clusters.sample(regions, regions, [0])
        assert drawn.shape == (3, 2, 4) and drawn.dtype == np.float32 and np.isfinite(drawn).all()

    def trials():
        for number in range(INPUTS["tables"]):
            path.write_bytes(handmade[number] if number < len(handmade) else damaged(good, rng, 2))
            yield Trial(read, folder, path.name)

    try_inputs("tables", trials())
    assert not list(working_folder.rglob("it_ran"))


def test_logs(working_folder):
    """A log whose lines are damaged is read as far as it goes, and a page that was edited is made anew."""
    rng = np.random.default_rng(16)
    folder = working_folder / "data"
    folder.mkdir()
    path = folder / "log.jsonl"
    line = {"step": 1, "epoch": 1, "iteration": 1, "at": 1.0, "values": {"G_GAN": 0.5}, "extra": {"time": "nan"}}
    lines = [json.dumps(line | {"step": step}) for step in range(4)]

    def read():
        for record in read_log(path):
            assert isinstance(record["step"], int) and all(isinstance(v, float) for v in record["values"].values())

    def trials():
        for number in range(INPUTS["logs"]):
            text = "\n".join([*lines, json.dumps(changed(line, rng)), "[" * 3000 if number % 9 == 0 else "{}"]).encode()
            path.write_bytes(damaged(text, rng) if number % 2 else spliced(text, text, rng))
            yield Trial(read, folder, path.name)

    try_inputs("logs", trials(), both=False)
