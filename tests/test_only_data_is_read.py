"""No file that comes from outside can bring code along: nothing in the project is able to run any."""

import ast
import pickle
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path
    for place in ("src", "data", "benchmarks", "scripts")
    for path in (ROOT / place).rglob("*.py")
    if "__pycache__" not in path.parts
) + sorted(ROOT.glob("*.py"))

# modules that run what a file says, unpack archives to wherever their members say, or fetch from the network
MODULES = {
    "cPickle", "cloudpickle", "dill", "ftplib", "joblib", "jsonpickle", "marshal", "pickle", "pickletools", "requests",
    "runpy", "shelve", "tarfile", "torch", "urllib.request",
}  # fmt: skip
BUILTINS = {"__import__", "compile", "eval", "exec"}
# last part of a called name, whatever it is called on
ATTRIBUTES = {
    "_create_unverified_context", "extract", "extractall", "full_load", "full_load_all", "imread", "popen", "system",
    "unpack_archive", "unsafe_load", "unsafe_load_all",
}  # fmt: skip
#: the only places that may use something, because they are what makes it safe
ALLOWED = {
    "pickle": {"src/utils/pickles.py"},
    "yaml.load": {"src/options/files.py"},
    "Image.open": {"src/imaging/images.py"},
}


def dangers(text: str) -> list[str]:
    """What a source does that could run a file, name by name."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if _is_module(alias.name)]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [name for name in names if _is_module(name)][:1]
        elif isinstance(node, ast.Call):
            found += _call(node)
    return found


def _is_module(name: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in MODULES)


def _call(node: ast.Call) -> list[str]:
    options = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
    if isinstance(node.func, ast.Name):
        return [node.func.id] if node.func.id in BUILTINS else []
    if not isinstance(node.func, ast.Attribute):
        return []
    name = node.func.attr
    owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
    if owner in ("np", "numpy") and name in ("load", "save") and options.get("allow_pickle") is not False:
        return [f"{owner}.{name}"]
    if owner == "yaml" and name in ("load", "load_all"):
        return ["yaml.load"]
    if (owner, name) == ("Image", "open") or name in ATTRIBUTES:
        return [f"{owner}.{name}"]
    return ["an option"] if options.get("shell") is True or options.get("allow_pickle") is True else []


def test_nothing_in_the_project_runs_a_file():
    assert len(SOURCES) > 100
    found = [
        f"{path.relative_to(ROOT)}: {danger}"
        for path in SOURCES
        for danger in dangers(path.read_text(encoding="utf-8"))
        if str(path.relative_to(ROOT)) not in ALLOWED.get(danger, ())
    ]
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from pickle import loads", "import torch.serialization", "import tarfile", "eval(x)",
        "exec(x)", "from urllib import request",
        "compile(x, '', 'exec')", "__import__(x)", "np.load(x)", "np.load(x, allow_pickle=True)", "np.save(x, y)",
        "numpy.load(x, mmap_mode='r')", "yaml.load(x)", "yaml.unsafe_load(x)", "yaml.full_load(x)",
        "archive.extractall(x)",
        "zipfile.ZipFile(x).extract(y)", "os.system(x)", "subprocess.run(x, shell=True)", "shutil.unpack_archive(x)",
        "Image.open(x)", "cv2.imread(x)", "import urllib.request", "np.lib.npyio.load(x, allow_pickle=True)",
    ],
)  # fmt: skip
def test_what_would_be_found(text):
    assert dangers(text)


@pytest.mark.parametrize(
    "text", ["np.load(x, allow_pickle=False)", "yaml.safe_load(x)", "re.compile(x)", "model.eval()", "json.load(x)"]
)
def test_what_is_harmless(text):
    assert not dangers(text)


def test_the_closed_reader_looks_nothing_up():
    """Of what the standard library's reader of pickles does, nothing is left that resolves a name or calls one."""
    from src.utils.pickles import _Reader

    source = (ROOT / "src/utils/pickles.py").read_text(encoding="utf-8")
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    assert not names & {"getattr", "globals", "import_module", "importlib", "setattr", "vars", "sys"}
    used = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    assert not used & {"Unpickler", "load_extension", "loads", "get_extension"}
    own = {"find_class", "persistent_load", "load_reduce", "load_newobj", "load_build", "load_setitem", "load_setitems"}
    assert own <= _Reader.__dict__.keys()
    calling = "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "FROZENSET", "DICT", "PERSID", "NEXT_BUFFER"
    assert not {getattr(pickle, name)[0] for name in calling} & _Reader.dispatch.keys()


def test_configurations_are_read_by_a_loader_that_builds_plain_values():
    import yaml

    from src.options import files

    assert issubclass(files._Loader, yaml.SafeLoader)
    assert files._Loader.yaml_constructors is yaml.SafeLoader.yaml_constructors
    source = (ROOT / "src/options/files.py").read_text(encoding="utf-8")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    loads = [node for node in calls if getattr(node.func, "attr", "") in ("load", "load_all")]
    assert len(loads) == 2 and all(node.args[1].id == "_Loader" for node in loads)
