"""Options of the compiler and of device memory, and what is refused."""

import mindspore as ms
import pytest

from src.systems.programs import load_config
from src.utils.errors import UserError
from src.utils.tuning import prepare_compiler, prepare_memory


@pytest.mark.parametrize("level", ["O0", "O1"])
def test_the_level_reaches_the_compiler(level):
    before = ms.get_jit_config() if hasattr(ms, "get_jit_config") else ms.context.get_jit_config()
    try:
        prepare_compiler(load_config([f"--jit_level={level}"]), {})
        assert ms.context.get_jit_config() == {"jit_level": level}
    finally:
        ms.set_context(jit_config=before or {"jit_level": "O0"})


def test_a_level_without_graphs_is_refused():
    with pytest.raises(UserError, match="jit_level O1 is for compiled graphs: use --mode graph"):
        prepare_compiler(load_config(["--jit_level=O1", "--mode=pynative"]), {})
    with pytest.raises(UserError, match="O3 is not one of auto, O0, O1"):
        load_config(["--jit_level=O3"])


def test_the_compile_cache_is_refused():
    with pytest.raises(UserError, match="unset MS_COMPILER_CACHE_ENABLE"):
        prepare_compiler(load_config([]), {"MS_COMPILER_CACHE_ENABLE": "1"})
    prepare_compiler(load_config([]), {"MS_COMPILER_CACHE_ENABLE": "0"})


def test_a_cpu_has_no_limit_and_says_so():
    said = []
    prepare_memory(load_config(["--memory_limit=2"]), "CPU", said.append)
    assert said == ["memory_limit 2.0 is ignored: MindSpore takes what it needs from a CPU"]
    prepare_memory(load_config([]), "CPU", said.append)
    assert len(said) == 1
