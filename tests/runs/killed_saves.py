"""Save checkpoints in child processes and kill them; run as a command, because it forks.

    python killed_saves.py random FOLDER KILLS    kill -9 at random moments of an endless series of saves
    python killed_saves.py steps FOLDER           kill -9 before every single file operation of one save

Prints a JSON object: how often it killed, how many kills hit a save in progress, and every violation. After
each kill the newest acknowledged checkpoint must load, whole and without falling back.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np

from src.runs.checkpoints import CheckpointStore, Position
from src.runs.manifest import read_manifest
from src.utils.files import leftovers
from src.utils.tensorfile import write_arrays

NETWORKS = {"G": (2, 1 << 18), "D": (3, 1 << 16)}


def save(store, step, scale=1.0, position=None):
    """Save arrays that all hold the number ``step``."""
    networks = {
        name: {f"layer{i}": np.full(int(size * scale), step, np.float32) for i in range(count)}
        for name, (count, size) in NETWORKS.items()
    }
    state = {"step": np.int64(step), "moment": np.full(int(scale * (1 << 19)), step, np.float32)}
    store.save(position or Position(step), networks, state, {"step": step}, "test")


def loaded_step(store):
    """Return the number that a whole checkpoint holds; anything else is an error."""
    checkpoint = store.load()
    values = {int(checkpoint.state["step"]), checkpoint.config["step"]}
    assert checkpoint.networks.keys() == NETWORKS.keys()
    for arrays in [*checkpoint.networks.values(), {"moment": checkpoint.state["moment"]}]:
        for array in arrays.values():
            values |= set(np.unique(array).astype(int).tolist())
    assert len(values) == 1, f"mixed checkpoint: {values}"
    return values.pop()


def in_progress(folder):
    manifest, _ = read_manifest(folder)
    listed = {name for entry in manifest.entries for name in entry.names} if manifest else set()
    unlisted = {path.name for path in folder.glob("[0-9]*.safetensors")} - listed
    return bool(unlisted or leftovers(folder))


def check(folder, acknowledged, report):
    warnings = []
    try:
        step = loaded_step(CheckpointStore(folder, warn=warnings.append))
        if step < acknowledged or warnings:
            report["violations"].append(f"step {step} after {acknowledged}, warnings {warnings}")
        return max(step, acknowledged)
    except Exception as error:
        report["violations"].append(f"after {acknowledged}: {type(error).__name__}: {error}")
        return acknowledged


def kill_at_random(folder, kills):
    report = {"kills": 0, "in_progress": 0, "saves": 0, "violations": []}
    store = CheckpointStore(folder, keep_last=2)
    step = 1
    save(store, step)
    chance = random.Random(0)
    for _ in range(kills):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            while True:
                step += 1
                save(store, step)
                os.write(writer, b"%d\n" % step)
        os.close(writer)
        time.sleep(chance.uniform(0.0, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader) as stream:
            acknowledged = [int(line) for line in stream]
        report["kills"] += 1
        report["saves"] += len(acknowledged)
        report["in_progress"] += in_progress(folder)
        step = check(folder, acknowledged[-1] if acknowledged else step, report)
    save(store, step + 1)
    report["files"] = sorted(path.name for path in folder.iterdir())
    report["last"] = step + 1
    return report


def _second_save(store):
    save(store, 3, 0.001)


def _same_position(store):
    save(store, 3, 0.001, Position(2))


def _first_save(store):
    save(store, 3, 0.001)


def prepare(folder, scenario):
    if scenario is _first_save:
        folder.mkdir()
        arrays = {f"layer{i}": np.full(4, 2, np.float32) for i in range(3)}
        config = json.dumps({"step": 2})
        for name in NETWORKS:
            write_arrays(folder / f"latest_net_{name}.safetensors", arrays, {"config": config})
    else:
        store = CheckpointStore(folder, keep_last=1)
        save(store, 1, 0.001)
        save(store, 2, 0.001)


def check_first(folder, report):
    """The networks that a person put here must stay, whatever happens to the first save."""
    warnings = []
    store = CheckpointStore(folder, warn=warnings.append)
    found = set()
    for which in ("latest", "initial"):
        try:
            found.add(store.load(which, with_state=False).config["step"])
        except Exception as error:
            found.add(type(error).__name__)
    if 2 not in found:
        report["violations"].append(f"the networks that were there are lost: {found}, {warnings}")


def kill_at_every_step(folder):
    report = {"kills": 0, "in_progress": 0, "violations": []}
    for scenario in (_second_save, _same_position, _first_save):
        number, killed = 0, True
        prepare(folder / scenario.__name__, scenario)
        while killed:
            place = folder / f"{scenario.__name__}{number}"
            shutil.copytree(folder / scenario.__name__, place)
            store = CheckpointStore(place, keep_last=1)
            child = os.fork()
            if child == 0:
                seen = 0

                def hook(event, arguments):
                    nonlocal seen
                    if event in ("open", "os.rename", "os.remove", "os.link", "os.mkdir"):
                        seen += 1
                        if seen > number:  # noqa: B023
                            os.kill(os.getpid(), signal.SIGKILL)

                sys.addaudithook(hook)
                scenario(store)
                os._exit(0)
            killed = os.waitpid(child, 0)[1] != 0
            report["kills"] += killed
            report["in_progress"] += in_progress(place)
            if scenario is _first_save:
                check_first(place, report)
            else:
                check(place, 2 if killed else 3, report)
            save(store, 4, 0.001)
            if loaded_step(store) != 4:
                report["violations"].append(f"{place.name}: the next save does not load")
            litter = {path.name for path in place.iterdir() if not path.name.startswith(("4_", "initial_"))}
            litter -= {"manifest.json", "latest_net_D.safetensors", "latest_net_G.safetensors"}
            if litter:
                report["violations"].append(f"{place.name}: {sorted(litter)} were left behind")
            shutil.rmtree(place)
            number += 1
    return report


if __name__ == "__main__":
    target = Path(sys.argv[2])
    result = kill_at_random(target, int(sys.argv[3])) if sys.argv[1] == "random" else kill_at_every_step(target)
    print(json.dumps(result))
