"""A system is a folder and a line: the template of docs/adding_a_system.md, and one with everything of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tests.architecture.source import ROOT

PAGE = (ROOT / "docs" / "adding_a_system.md").read_text(encoding="utf-8")
OWN = Path(__file__).with_name("own_system")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def copy_of_the_project(home, line):
    """The package with ``line`` in its registry, and pairs of images: a gradient, and its negative."""
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("default_config.yaml", "train.py", "eval.py", "export.py"):
        shutil.copy(ROOT / name, home / name)
    registry = home / "src" / "systems" / "registry.py"
    text = registry.read_text(encoding="utf-8")
    assert text.count("SYSTEMS = {\n") == 1
    registry.write_text(text.replace('    "hflow"', f'{line}    "hflow"'), encoding="utf-8")
    for phase, count in (("train", 4), ("test", 1)):
        for number in range(count):
            image = np.full((18, 30, 3), 40 * number, np.uint8) + np.arange(30, dtype=np.uint8)[:, None]
            for side, array in (("A", image), ("B", 255 - image)):
                path = home / "datasets" / "pairs" / f"{phase}_{side}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
    return home


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with the page's files in it."""
    *files, line = blocks("python")
    home = copy_of_the_project(tmp_path_factory.mktemp("project"), line)
    folder = home / "src" / "systems" / "sketch"
    folder.mkdir()
    for name, text in zip(("__init__.py", "system.py", "objective.py"), files, strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "options.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    return home


def run(project, *commands):
    """Commands of the page, in one process because importing MindSpore takes longer than they do; what each said."""
    code = "import importlib, json, sys\nfor program, *words in json.loads(sys.argv[1]):\n"
    code += "    print('== next', flush=True)\n    assert not importlib.import_module(program).main(words)\n"
    words = [[command.split()[1].removesuffix(".py"), *command.split()[2:]] for command in commands]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(words)],
        cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout.split("== next")[1:]


def test_the_template_trains_goes_on_and_translates(project):
    start, go_on, translate = blocks("bash")[-1].strip().splitlines()
    common = " --device_target=CPU --mode=pynative --resize_or_crop=none"
    small = f"{common} --niter_decay=0 --sketch_width=4 --lr=0.01 --print_freq=1"
    said = run(project, f"{start}{small} --niter=2", f"{go_on}{small} --niter=4", f"{translate} --device_target=CPU")
    assert "network G" in said[0] and "G_L1" in said[0]
    assert "continuing checkpoints/sketch from checkpoint 2" in said[1]
    weights = load_file(project / "checkpoints" / "sketch" / "latest_net_G.safetensors")
    assert weights["first.weight"].shape == (4, 3, 3, 3) and len(weights) == 8
    lines = (project / "checkpoints" / "sketch" / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["values"]["G_L1"] for line in lines]
    assert len(losses) == 16 and np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    folder = project / "results" / "predict" / "sketch" / "test_4"
    assert Image.open(folder / "images" / "0_synthesized_image.png").size == (30, 18)
    assert (folder / "gallery" / "index.html").is_file()


def test_the_template_is_as_tidy_as_the_rest(project):
    shutil.copy(ROOT / "pyproject.toml", project)
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "src/systems/sketch"], cwd=project, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


def test_a_system_with_everything_of_its_own_is_a_folder_and_a_line(tmp_path):
    """Its own data kind, Python call, task, studio and export, found by every engine room."""
    home = copy_of_the_project(tmp_path, '    "invert": "invert:INVERT",\n')
    shutil.copytree(OWN, home / "src" / "systems" / "invert")
    ramps = home / "datasets" / "ramps"
    ramps.mkdir()
    for number in range(4):
        np.save(ramps / f"{number}.npy", np.linspace(-1, 1, 8 * 8, dtype=np.float32).reshape(8, 8) * (number + 1) / 4)
    train = "python train.py --model INVERT --data_root datasets/ramps --device_target=CPU --mode=pynative --niter=30"
    said = run(
        home,
        f"{train} --niter_decay=0 --print_freq=1 --lr=0.05",
        "python eval.py --name invert --device_target=CPU --mode=pynative",
        "python eval.py --name invert --task count --device_target=CPU --mode=pynative",
        "python export.py --name invert --device_target=CPU",
    )
    assert "L1" in said[0]
    assert len(list((home / "results" / "predict" / "invert").glob("*/images/*.png"))) == 4
    assert "4 ramps" in said[2]
    assert (home / "checkpoints" / "invert" / "invert_I.onnx").is_file()
    code = (
        "import numpy as np, src\nfrom src import load\n"
        "model = load('checkpoints/invert', device_target='CPU', mode='pynative')\n"
        "ramp = np.full((8, 8), 0.5, np.float32)\nassert abs(model.translate(ramp) + 0.5).max() < 0.2\n"
        "studio = model.system.studio_class()\nfrom src.systems.programs import EDIT, read_command\n"
        "config = read_command(EDIT, ['--load_ckpt=checkpoints/invert'])[1]\n"
        "studio = studio(model, config)\nassert studio.about()['documents'] == ['grey']\n"
        "document, _ = studio.open(0)\nassert studio.draw(document, {}).shape == (8, 8, 3)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
