"""The template of docs/adding_a_system.md, copied out of the page into a copy of the project, trained and evaluated."""

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

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "adding_a_system.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with the page's files in it, and pairs of pictures: a gradient, and its negative."""
    home = tmp_path_factory.mktemp("project")
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("default_config.yaml", "train.py", "eval.py"):
        shutil.copy(ROOT / name, home / name)
    folder = home / "src" / "models" / "sketch"
    folder.mkdir()
    (folder / "__init__.py").touch()
    system, line = blocks("python")
    (folder / "system.py").write_text(system)
    (home / "configs" / "sketch.yaml").write_text(blocks("yaml")[0])
    registry = home / "src" / "models" / "registry.py"
    text = registry.read_text()
    assert text.count("SYSTEMS = {\n") == 1
    registry.write_text(text.replace("SYSTEMS = {\n", f"SYSTEMS = {{\n{line}"))
    for phase, count in (("train", 4), ("test", 1)):
        for number in range(count):
            picture = np.full((18, 30, 3), 40 * number, np.uint8) + np.arange(30, dtype=np.uint8)[:, None]
            for side, array in (("A", picture), ("B", 255 - picture)):
                path = home / "datasets" / "pairs" / f"{phase}_{side}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
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
    said = run(project, f"{start}{small} --niter=2", f"{go_on}{small} --niter=4", translate + common)
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
            [sys.executable, "-m", "ruff", *words, "src/models/sketch"], cwd=project, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
