"""Stand-ins for CANN, so that MindSpore's Ascend plug-in loads where CANN is not installed.

In its own simulation (``MS_SIMULATION_LEVEL=1``) MindSpore replaces every call to the device. What is missing on a
machine without CANN is only the shared objects that its plug-in is linked with and the functions that it looks up in
them. Both can be read from the wheel: each library made here exports those names, and each function returns 0.
"""

__all__ = ["SOC", "Cann", "build_standins", "check_soc", "find_cann", "prepare_cann", "tell_soc"]

import ctypes
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from src.utils.chips import find_chip, known_chips
from src.utils.errors import UserError

# libraries of the wheel that make up the Ascend backend; what they need is followed from here
_ROOTS = (
    "plugin/libmindspore_ascend.so.2",
    "plugin/libmindspore_ops_ascend.so",
    "libmindspore_ge_backend.so",
    "plugin/ascend/libmindspore_graph_ir.so",
    "plugin/ascend/libhccl_plugin.so",
    "plugin/ascend/libd_collective.so",
    "plugin/ascend/libmindspore_ascend_res_manager.so",
)
# opened by name at run time, so no library lists them
_OPENED = {"libopapi.so", "libprofapi.so"}
_MAIN = "libascendcl.so"
# always there on Linux; what these define is not CANN's
_SYSTEM = re.compile(r"lib(stdc\+\+|m|c|gcc_s|gomp|pthread|dl|rt|z)\.so|ld-linux")
# functions that the plug-in looks up by name are in no symbol table, but their names are among its constants
_LOOKED_UP = re.compile(rb"\x00((?:acl(?:nn)?|Hccl|Hcom|Msprof)[A-Z]?[A-Za-z0-9]{3,70})(?=\x00)")
_HELPERS = {"aclnnInit", "aclnnFinalize", "InitHugeMemThreadLocal", "UnInitHugeMemThreadLocal", "ReleaseHugeMem"}
# What the compiler does touch: an error table, the name of the chip, and operators as empty values.
_OBJECTS = """
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
extern "C" void* _ZN2ge13StatusFactory8InstanceEv() {
  static std::map<uint32_t, std::string> errors;
  return &errors;
}
extern "C" const char* aclrtGetSocName() { return getenv("MINDI2I_SOC"); }
namespace ge {
class OperatorImpl;
class Operator {
 public:
  Operator() = default;
  virtual ~Operator() = default;

 private:
  std::shared_ptr<OperatorImpl> impl_;
};
struct OperatorFactory {
  static Operator CreateOperator(const char*, const char*);
  static Operator CreateOperator(const std::string&, const std::string&);
};
Operator OperatorFactory::CreateOperator(const char*, const char*) { return Operator(); }
Operator OperatorFactory::CreateOperator(const std::string&, const std::string&) { return Operator(); }
}
"""
# In its simulation MindSpore asks no chip for its name, and so decides nothing by it, unless it is told one.
_TELLER = """
#include <functional>
#include <memory>
#include <string>
namespace mindspore {
struct MsContext {
  static std::shared_ptr<MsContext> GetInstance();
  void set_ascend_soc_name(const std::string&);
  void set_ascend_soc_version(const std::string&);
  void set_ascend_soc_func(const std::function<void(MsContext*)>&);
};
}
extern "C" void tell_soc(const char* given_name, const char* given_version) {
  std::string name(given_name), version(given_version);
  mindspore::MsContext::GetInstance()->set_ascend_soc_func([name, version](mindspore::MsContext* context) {
    context->set_ascend_soc_name(name);
    context->set_ascend_soc_version(version);
  });
}
"""
_TELLER_NAME = "libmindi2i_soc.so"
#: the chip of the stand-ins unless another is asked for
SOC = "Ascend910B2"
# MindSpore's words for the series
_VERSIONS = {
    "Atlas training series": "ascend910",
    "Atlas A2": "ascend910b",
    "Atlas A3": "ascend910_93",
    "Ascend 950": "ascend950",
}
_OWN = {"_ZN2ge13StatusFactory8InstanceEv", "aclrtGetSocName"}
_OWN_PREFIX = "_ZN2ge15OperatorFactory14CreateOperator"


@dataclass(frozen=True)
class Cann:
    """What MindSpore links to: the CANN of this host, or stand-ins in ``folder``."""

    folder: Path | None

    @property
    def is_real(self) -> bool:
        return self.folder is None

    @property
    def words(self) -> str:
        """What every output says about its origin."""
        origin = "the CANN of this host" if self.is_real else "stand-in CANN libraries"
        return f"compiled for Ascend in MindSpore's simulation with {origin}, not run on an NPU"

    def environment(self, soc: str = SOC) -> dict[str, str]:
        """The variables of a process that compiles for the Ascend chip ``soc`` without a card."""
        variables = {**os.environ, "MS_SIMULATION_LEVEL": "1"}
        if not self.is_real:
            # the plug-in derives its paths from a folder of this name
            libraries = self.folder / "cann" / "lib64"
            variables["LD_LIBRARY_PATH"] = _joined(libraries, variables.get("LD_LIBRARY_PATH"))
            variables["PYTHONPATH"] = _joined(self.folder / "py", variables.get("PYTHONPATH"))
            variables["MINDI2I_SOC"] = soc
            variables["ASCEND_OPP_PATH"] = str(self.folder / "cann" / "opp")
        return variables


def _joined(first: Path, rest: str | None) -> str:
    return os.pathsep.join([str(first), *([rest] if rest else [])])


def check_soc(soc: str) -> None:
    """Raise ``UserError`` unless ``soc`` is the name of a known chip."""
    if not find_chip(soc).known:
        raise UserError(f"soc {soc} is no chip that is known here ({known_chips()}): for example Ascend910A or {SOC}")


def tell_soc() -> None:
    """Let MindSpore decide as on the chip of the stand-ins; after its device is set, before the first operator."""
    soc = os.environ.get("MINDI2I_SOC")
    if soc:
        ctypes.CDLL(_TELLER_NAME).tell_soc(soc.encode(), _VERSIONS[find_chip(soc).series].encode())


def find_cann() -> Path | None:
    """The libascendcl.so of an installed CANN whose ``set_env.sh`` was sourced, or None."""
    folders = [Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if folder]
    for variable in ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"):
        if os.environ.get(variable):
            folders.append(Path(os.environ[variable]) / "lib64")
    return next((folder / _MAIN for folder in folders if (folder / _MAIN).is_file()), None)


def prepare_cann(folder: Path | None = None) -> Cann:
    """The CANN of this host where there is one, else stand-ins, built once for this MindSpore and kept.

    Args:
        folder: where the stand-ins are kept; None is the user's cache.
    Raises:
        UserError: no CANN, and a tool to build stand-ins is missing, or MindSpore has no Ascend plug-in.
    """
    if find_cann():
        return Cann(None)
    package = _package()
    if folder is None:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mindi2i"
    version = (package / "version.py").read_bytes() if (package / "version.py").is_file() else b""
    recipe = version + str(package).encode() + Path(__file__).read_bytes()
    target = folder / f"cann_standins_{hashlib.sha256(recipe).hexdigest()[:16]}"
    if not target.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            build_standins(Path(scratch) / "new")
            try:
                os.replace(Path(scratch) / "new", target)
            except OSError:
                # another process was faster
                if not target.is_dir():
                    raise
    return Cann(target)


def _package() -> Path:
    spec = importlib.util.find_spec("mindspore")
    if spec is None or spec.origin is None:
        raise UserError("MindSpore is not installed: pip install -r requirements.txt")
    return Path(spec.origin).parent


def build_standins(folder: Path) -> int:
    """Write the stand-in libraries to ``folder`` and return how many functions they export; takes seconds.

    Raises:
        UserError: gcc, g++, nm or readelf is missing, or the installed MindSpore has no Ascend plug-in.
    """
    missing = [tool for tool in ("gcc", "g++", "nm", "readelf") if not shutil.which(tool)]
    if missing:
        raise UserError(
            f"stand-ins for CANN need {', '.join(missing)} to be built: install gcc, g++ and binutils "
            "(apt-get install gcc g++ binutils), or source the set_env.sh of an installed CANN"
        )
    package = _package()
    roots = [package / "lib" / name for name in _ROOTS]
    if not roots[0].is_file():
        raise UserError(
            f"{roots[0]} does not exist: this MindSpore has no Ascend plug-in (the Linux wheels of PyPI have it)"
        )
    linked, absent = _linked([root for root in roots if root.is_file()], package)
    names = sorted(_wanted(linked, package))
    libraries = folder / "cann" / "lib64"
    libraries.mkdir(parents=True)
    (folder / "cann" / "opp").mkdir()
    hccl = folder / "py" / "hccl"
    hccl.mkdir(parents=True)
    # mindspore.communication looks for CANN's Python package of this name
    (hccl / "__init__.py").write_text("")
    (hccl / "sys_version.py").write_text("__sys_version__ = '8.5.0'\n")
    _compile(libraries, names, sorted((absent | _OPENED) - {_MAIN}))
    _compile_teller(libraries, package)
    return len(names)


def _linked(roots: list[Path], package: Path) -> tuple[list[Path], set[str]]:
    """Libraries of the wheel that ``roots`` need, and names of needed libraries that are nowhere on this machine."""
    own = {path.name: path for path in package.glob("lib/**/*.so*")}
    system = _run("ldconfig", "-p")
    found, absent, pending = [], set(), list(roots)
    while pending:
        library = pending.pop()
        if library in found:
            continue
        found.append(library)
        for name in re.findall(r"NEEDED.*\[(.*?)\]", _run("readelf", "-d", str(library))):
            if name in own:
                pending.append(own[name])
            elif not _SYSTEM.match(name) and f"\t{name} " not in system:
                absent.add(name)
    return found, absent


def _wanted(linked: list[Path], package: Path) -> set[str]:
    """Names of functions that the libraries need and nothing on this machine defines."""
    defined = set()
    for library in [*linked, *package.glob("*.so"), *_system_libraries()]:
        defined |= set(_symbols(library, "--defined-only"))
    wanted = {
        name
        for library in linked
        for name, kind in _symbols(library, "--undefined-only").items()
        if kind not in "wv" and not name.startswith(("Py", "_Py"))
    }
    looked_up = {name.decode() for library in linked for name in _LOOKED_UP.findall(b"\x00" + library.read_bytes())}
    wanted |= looked_up | {f"{name}GetWorkspaceSize" for name in looked_up if name.startswith("aclnn")} | _HELPERS
    return {name for name in wanted - defined - _OWN if not name.startswith(_OWN_PREFIX)}


def _system_libraries() -> Iterable[Path]:
    """Files of the C and C++ runtime that this process would load."""
    for line in _run("ldconfig", "-p").splitlines():
        name, arrow, path = line.strip().partition(" => ")
        if arrow and _SYSTEM.match(name):
            yield Path(path)


def _symbols(library: Path, which: str) -> dict[str, str]:
    """Dynamic symbols and their kinds."""
    words = (line.split() for line in _run("nm", "-D", which, str(library)).splitlines())
    return {parts[-1].split("@")[0]: parts[-2] for parts in words if len(parts) >= 2}


def _compile(folder: Path, names: list[str], others: list[str]) -> None:
    """One library with all functions, and the others as empty shells that lead to it."""
    with tempfile.TemporaryDirectory() as scratch:
        functions, objects, empty = (Path(scratch) / name for name in ("functions.c", "objects.cc", "empty.c"))
        # assembler labels instead of C names: mangled C++ names are no legal identifiers everywhere
        functions.write_text(
            "\n".join(
                f'long f{i}(void) __asm__("{name}");\nlong f{i}(void) {{ return 0; }}' for i, name in enumerate(names)
            )
        )
        objects.write_text(_OBJECTS)
        empty.write_text("")
        # the wheel is built with the older string layout
        options = ["-shared", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI=0", "-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed"]
        main = [str(functions), str(objects), "-lstdc++"]
        _gcc([*options, f"-Wl,-soname,{_MAIN}", "-o", str(folder / _MAIN), *main])
        for name in others:
            _gcc([*options, f"-Wl,-soname,{name}", "-o", str(folder / name), str(empty), f"-L{folder}", "-lascendcl"])


def _compile_teller(folder: Path, package: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "teller.cc"
        source.write_text(_TELLER)
        core = [f"-L{package / 'lib'}", "-lmindspore_core", "-Wl,--allow-shlib-undefined"]
        options = ["-shared", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI=0"]
        _gcc([*options, "-o", str(folder / _TELLER_NAME), str(source), "-lstdc++", *core])


def _gcc(arguments: list[str]) -> None:
    done = subprocess.run(["gcc", "-w", *arguments], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"gcc cannot build the stand-ins for CANN (is g++ installed?): {lines[-1]}")


def _run(*command: str) -> str:
    # ldconfig is in no user's PATH on some systems
    path = os.pathsep.join([os.environ.get("PATH", ""), "/sbin", "/usr/sbin"])
    executable = shutil.which(command[0], path=path)
    if executable is None:
        return ""
    return subprocess.run([executable, *command[1:]], capture_output=True, text=True, errors="replace").stdout
