"""Every command that README.md and docs/ show: it exists, its options are known, and some test runs it.

A command that needs what is not here (devices, several hosts, downloads) says so in its line: "needs ...".
"""

import functools
import importlib
import re
import shlex
from dataclasses import dataclass

import pytest

from src.options.owner import ROOT
from src.systems.programs import ANY, EDIT, EVAL, EXPORT, PRECOMPUTE, TRAIN, read_command, schema_of
from src.systems.programs import CONVERT as CONVERTING
from src.systems.registry import SYSTEMS, descriptions
from src.utils.errors import UserError, run_command
from tests.pages import Page

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EVERY_LANGUAGE = [*PAGES, ROOT / "README_CN.md", *sorted((ROOT / "docs" / "zh").glob("*.md"))]
SCRIPTS = "tests/test_scripts.py::"
SIM2REAL = "tests/test_sim2real.py::"
CUT = "tests/systems/cut/test_cut_run.py::"
CONVERT = "tests/data/test_convert_checkpoint.py::"
#: a pattern of the command and the test that runs it, on small data and with small networks; the first that fits counts
RUN_BY = {
    r"quickstart\.sh": "tests/test_quickstart.py::test_the_quick_start",
    r"scripts/test\.sh": "tests/test_docs.py::test_there_are_commands",
    r"train_512p\.sh.* --label_nc 0": SCRIPTS + "test_rgb_to_rgb_trains_and_never_precomputes",
    r"/train_512p\.sh": SCRIPTS + "test_train_512p",
    r"/train_512p_feat\.sh": SCRIPTS + "test_train_512p_feat",
    r"/train_1024p\.sh": SCRIPTS + "test_train_1024p",
    r"/train_1024p_feat\.sh": SCRIPTS + "test_train_1024p_feat",
    r"distribute_train_512p\.sh": SCRIPTS + "test_distribute_train_512p_in_its_older_form",
    r"distribute_train_512p_feat\.sh": SCRIPTS + "test_distribute_train_512p_feat",
    r"distribute_train_1024p\.sh": SCRIPTS + "test_distribute_train_1024p",
    r"distribute_train_1024p_feat\.sh": SCRIPTS + "test_distribute_train_1024p_feat",
    r"eval_512p\.sh": SCRIPTS + "test_eval_512p",
    r"eval_512p_feat\.sh": SCRIPTS + "test_eval_512p_feat",
    r"eval_1024p\.sh": SCRIPTS + "test_eval_1024p",
    r"eval_1024p_feat\.sh": SCRIPTS + "test_eval_1024p_feat",
    r"precompute_feature_maps\.sh": SCRIPTS + "test_precompute_feature_maps",
    r"train\.py --check_data": SCRIPTS + "test_a_report_of_the_data_instead_of_training",
    r"(train|eval)\.py --(model|name) sketch": "tests/architecture/test_adding_a_system.py::"
    "test_the_template_trains_goes_on_and_translates",
    r"(train|eval)\.py --config_path configs/\w+_streets(_encoder)?\.yaml": "tests/test_street_presets.py::"
    "test_the_preset",
    r"eval_(cyclegan|hierarchyflow)\.sh.* --input \S+\.mp4": SIM2REAL + "test_a_video_in_is_a_video_out",
    r"/train_cyclegan\.sh": SIM2REAL + "test_a_continued_run_equals_an_uninterrupted_one",
    r"eval_cyclegan\.sh": SIM2REAL + "test_cyclegan_translates_both_ways_and_says_how_well",
    r"/train_hierarchyflow\.sh": SIM2REAL + "test_hierarchy_flow_trains_by_steps_and_names_its_results",
    r"eval_hierarchyflow\.sh": SIM2REAL + "test_hierarchy_flow_trains_by_steps_and_names_its_results",
    r"distribute_train_(cyclegan|hierarchyflow)\.sh": SIM2REAL + "test_older_form_of_the_distribute_scripts",
    r"eval_cut\.sh.* --input \S+\.mp4": SIM2REAL + "test_a_video_in_is_a_video_out",
    r"/(distribute_)?train_cut\.sh": CUT + "test_a_continued_run_equals_an_uninterrupted_one",
    r"eval_cut\.sh": CUT + "test_evaluation_translates_one_way_and_says_how_well",
    r"train\.py --config_path configs/cut_fast": CUT + "test_a_continued_run_equals_an_uninterrupted_one",
    r"distill_sim2real\.sh.* --student light": SIM2REAL + "test_light_student_of_translations_from_elsewhere",
    r"distill_sim2real\.sh": SIM2REAL + "test_student_learns_from_the_teacher",
    r"eval_fullglow_\S+ .*--task": "tests/systems/glow/test_flow_tasks.py::test_tasks_of_a_trained_flow",
    r"fullglow_\d+\.sh": "tests/systems/glow/test_flow_tasks.py::test_scripts_train_and_sample",
    r"eval\.py .*--check_invertible": "tests/systems/glow/test_flow_tasks.py::test_tasks_of_a_trained_flow",
    r"eval_hflow_\S+ .*--task sample": (
        "tests/systems/hflow/test_hflow_use.py::test_sample_writes_each_image_and_a_grid"
    ),
    r"eval_hflow_\S+ .*--task interpolate": (
        "tests/systems/hflow/test_hflow_use.py::test_interpolate_goes_there_and_back"
    ),
    r"distribute_train_hflow": "tests/systems/hflow/test_hflow_run.py::test_distributed_scripts_explain_themselves",
    r"(train|eval)_hflow_\d+\.sh": "tests/systems/hflow/test_hflow_run.py::test_scripts_run",
    r"train\.py .*hflow_streets": "tests/systems/hflow/test_hflow_run.py::test_the_streets_preset_is_a_network",
    r"eval\.py .*hflow_streets.* sample": "tests/systems/hflow/test_hflow_use.py::"
    "test_sample_writes_each_image_and_a_grid",
    r"eval\.py .*hflow_streets.* interpolate": "tests/systems/hflow/test_hflow_use.py::"
    "test_interpolate_goes_there_and_back",
    r"eval\.py .*hflow_streets.* bits_per_dim": "tests/systems/hflow/test_hflow_use.py::test_bits_of_held_out_images",
    r"create_pix2pixhd_dataset\.py": "tests/dataset/test_create_pix2pixhd_dataset.py::test_layout",
    r"create_street_scenes\.py": "tests/scenes/test_scenes.py::test_command",
    r"create_gta2cityscapes_dataset\.py.* --parquet": "tests/data/test_gta2cityscapes.py::"
    "test_pictures_and_lists_from_an_export",
    r"create_gta2cityscapes_dataset\.py": "tests/data/test_gta2cityscapes.py::test_lists_from_downloads",
    r"convert_instance_maps\.py": "tests/data/test_convert_instance_maps.py::test_the_advice_for_coloured_maps_works",
    r"convert_hed_encoder\.py": "tests/models/test_vgg16_hed.py::test_lpips_is_the_published_one",
    r"benchmarks/compare\.py": "tests/benchmarks/test_small_benchmarks.py::"
    "test_compare_puts_another_program_beside_ours",
    r"normalise_encoder\.py": "tests/data/test_normalise_encoder.py::test_mean_responses_are_one",
    r"create_hflow_dataset\.py": "tests/data/test_create_hflow_dataset.py::test_as_a_command",
    r"convert_checkpoint\.py --vgg": CONVERT + "test_vgg",
    r"convert_checkpoint\.py .*model_iter": "tests/systems/hflow/test_hflow_published.py::"
    "test_the_converter_makes_a_checkpoint_of_it",
    r"convert_checkpoint\.py .*optim_step": "tests/data/test_convert_flows.py::test_fullglow_as_its_trainer_saved_it",
    r"convert_checkpoint\.py": "tests/data/test_converting_page.py::test_conversions_of_the_page",
    r"check_reference\.py": "tests/test_reference.py::test_the_command_checks_both_modes_and_sees_a_wrong_number",
    r"simulate_ascend\.sh": "tests/benchmarks/test_ascend_simulation.py::test_the_command_writes_what_it_prints",
    r"scripts/setup\.sh$": "tests/test_quickstart.py::test_the_quick_start",
    r"ascend_report\.sh": "tests/benchmarks/test_ascend_report.py::test_the_script_writes_a_report",
    r"benchmark_fashion\.sh": "tests/benchmarks/test_fashion_benchmark.py::test_the_script_trains_measures_and_goes_on",
    r"setup_cuda\.sh --dry_run": "tests/benchmarks/test_setup_cuda.py::test_a_dry_run_changes_nothing",
    r"(train|eval|precompute_feature_maps|export)\.py (--model \w+ )?--help": (
        "tests/test_docs.py::test_help_lists_the_options"
    ),
    r"train\.py .*--lambda_temporal": "tests/systems/test_temporal_steps.py::"
    "test_the_command_trains_on_drives_and_refuses_flow_of_another_size_before_it_does",
    r"train\.py --model \w+$": "tests/systems/glow/test_flow_options.py::test_the_published_training_command_trains",
    r"benchmarks/scaling\.py": "tests/benchmarks/test_small_benchmarks.py::test_scaling",
    r"(export\.py --name|eval\.py .*--runtime onnx)": "tests/export/test_export.py::test_the_commands",
    r"benchmarks/flows\.py": "tests/benchmarks/test_flow_benchmark.py::test_parts_of_the_peak_are_the_peak",
    r"benchmarks/inference\.py": "tests/benchmarks/test_small_benchmarks.py::test_inference",
    r"benchmarks/instance_features\.py": "tests/benchmarks/test_instance_features.py::"
    "test_the_command_trains_clusters_measures_and_goes_on",
    r"benchmarks/precision\.py": "tests/benchmarks/test_precision_benchmark.py::test_the_command_writes_what_it_prints",
    r"benchmarks/train_step\.py": "tests/benchmarks/test_small_benchmarks.py::test_train_step",
    r"benchmarks/semantic\.py": "tests/benchmarks/test_semantic_benchmark.py::"
    "test_runs_are_trained_measured_and_not_again",
    r"benchmarks/training_parity\.py": "tests/benchmarks/test_training_parity.py::"
    "test_the_command_trains_compares_and_draws",
    r"benchmarks/unpaired\.py": "tests/benchmarks/test_small_benchmarks.py::test_unpaired",
    r"train\.py --config_path configs/(cglow|dualglow)": (
        "tests/systems/glow/test_flow_tasks.py::test_preset_takes_steps"
    ),
    r"train\.py --model improved": (
        "tests/systems/glow/test_flow_options.py::test_the_published_training_command_trains"
    ),
    r"-m src\.editing": "tests/editing/test_editing_page.py::test_what_is_opened_is_the_data_set",
    r"eval\.py .*--metrics": "tests/metrics/test_metrics_folders.py::test_sets_and_features",
    r"eval\.py --name": SCRIPTS + "test_eval_1024p",
}
#: what no test here can run; the lines that show it must say what it needs
NEEDS = (
    r"^pip install",
    r"benchmarks/hflow\.py",
    r"setup_cuda\.sh$",
    r"WORKER_NUM=",
    r"DEVICE_TARGET=(GPU|Ascend)",
    r"set_env\.sh",
    r"cuda11/env\.sh",
)
#: options of a program's own, besides those that have owners
OWN = {"convert_checkpoint.py": {"source", "network", "vgg"}}
PROGRAMS = {
    "train.py": TRAIN,
    "eval.py": EVAL,
    "precompute_feature_maps.py": PRECOMPUTE,
    "export.py": EXPORT,
    "convert_checkpoint.py": CONVERTING,
    "__main__.py": EDIT,
}
#: the system that docs/adding_a_system.md adds
FROM_THE_PAGE = "sketch"


@dataclass(frozen=True)
class Command:
    """One command of a page, and the line it stands in."""

    page: str
    text: str
    line: str

    def __str__(self):
        return f"{self.page}: {self.text}"

    @property
    def words(self):
        """Its words, without assignments in front, brackets around what may be left out, and dots."""
        words = shlex.split(re.sub(r" \[(?:--|[A-Z])[^\]]*\]", "", self.text))
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        return [word for word in words if word != "..."]


def commands_of(page):
    """Lines of bash blocks, indented commands, and commands in the middle of a sentence."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", text, re.DOTALL)
    rest = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = re.findall(r"^    ((?:bash|python|pip|source|[A-Z_]+=\S+ )(?:.*\\\n)*.*)$", rest, re.MULTILINE)
    for line in [line for block in (*blocks, *indented) for line in re.sub(r"\\\n\s*", "", block).splitlines()]:
        command = re.sub(r"(^|\s)#.*", "", line).strip().removeprefix("$ ")
        if command:
            yield Command(page.name, command, line)
    start = r"(?:[A-Z_]+=\S+ )*(?:bash|python|source|pip)\s"
    for code, after in re.findall(rf"`({start}[^`]+)`([^`\n|.]*)", rest):
        yield Command(page.name, " ".join(code.split()), code + after)


COMMANDS = list(dict.fromkeys(command for page in PAGES for command in commands_of(page)))


def options_of(words):
    return [word for word in words if word.startswith("--")]


def without_positional(words):
    """Options and their values; what stands before the first option is a place or a number."""
    first = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
    return words[first:]


def check_options(program, words, config_path=None, own=frozenset()):
    """Raise what the program would raise for options that it does not know, or values out of range.

    The run that a page names is not there: its system is the first that takes all the options.
    """
    kept, skip = [], False
    for word in without_positional(words):
        if word.startswith("--"):
            skip = word[2:].partition("=")[0] in own
        if not skip:
            kept.append(word)
    if "--help" in kept:
        return
    if config_path:
        kept = [f"--config_path={config_path}", *kept]
    named = any(word.split("=")[0] in ("--config_path", "--config", "--model") for word in kept)
    problems = []
    for model in [""] if named or not program.opens_run else SYSTEMS:
        try:
            read_command(program, [*kept, f"--model={model}"] if model else kept)
            return
        except UserError as error:
            problems.append(error)
    raise problems[0]


def own_options(path):
    """Options that a program's source names; none is started for it, since some would begin to work."""
    text = path.read_text(encoding="utf-8")
    return set(re.findall(r"(?:--|^\s*\"|[{ ]\")(\w+)(?=\"|\b)", text, re.MULTILINE))


def check_script(words):
    path = ROOT / words[0]
    assert path.is_file(), f"{words[0]} does not exist"
    text = path.read_text(encoding="utf-8")
    module = re.search(r"-m (benchmarks\.\w+)|(benchmarks/\w+)\.py", text)
    if module:
        check_program([f"{(module[1] or module[2]).replace('.', '/')}.py", *words[1:]])
        return
    configured = re.findall(r"configs/[a-z]\w+\.yaml", text)
    for config in configured:
        assert (ROOT / config).is_file(), f"{config} does not exist"
    runs = set(re.findall(r"run (\w+\.py)", text)) | ({"train.py"} if "distribute configs" in text else set())
    if configured or runs or "features.sh" in text:
        # options of a script with several stages go to those that have them
        program = PROGRAMS[runs.pop()] if len(runs) == 1 and "features.sh" not in text else ANY
        own = frozenset(re.findall(r'drop "--(\w+)"', text))
        check_options(program, words[1:], configured[-1] if configured else None, own)
    else:
        for option in options_of(words[1:]):
            assert option in text, f"{words[0]} has no option {option}"


def check_program(words):
    if words[0] == "-m":
        module = ROOT / words[1].replace(".", "/")
        path = module / "__main__.py" if module.is_dir() else module.with_suffix(".py")
        words = words[1:]
    else:
        path = ROOT / words[0]
    assert path.is_file(), f"{words[0]} does not exist"
    if FROM_THE_PAGE in words:
        return
    overlay = [words[i + 1] for i, word in enumerate(words) if word == "--config_path"]
    for config in overlay:
        assert (ROOT / config).is_file(), f"{config} does not exist"
    if path.name in PROGRAMS:
        check_options(PROGRAMS[path.name], words[1:], own=OWN.get(path.name, frozenset()))
        return
    own = own_options(path)
    named = {option[2:].partition("=")[0] for option in options_of(words)}
    text = path.read_text(encoding="utf-8")
    if named <= own | {"help"}:
        return
    assert "train.py" in text or "eval.py" in text, f"{words[0]} has no option {', '.join(sorted(named - own))}"
    check_options(ANY, words[1:], own=own - {"config_path"})


def test_there_are_commands():
    assert len(COMMANDS) > 50 and {command.page for command in COMMANDS} > {"README.md", "data.md", "flows.md"}


@pytest.mark.parametrize("page", [page.name for page in PAGES])
def test_options_are_known(page):
    problems = []
    for command in COMMANDS:
        if command.page != page:
            continue
        words = command.words
        try:
            if words[0] == "bash":
                check_script(words[1:])
            elif words[0] == "python":
                check_program(words[1:])
            elif words[0] == "pip":
                assert words[-1].startswith(".") or (ROOT / words[-1]).is_file(), f"{words[-1]} does not exist"
            else:
                assert words[0] == "source", "unknown kind of command"
        except (AssertionError, UserError) as error:
            problems.append(f"{command.text}: {str(error).splitlines()[0]}")
    assert not problems


@pytest.mark.parametrize(
    "command",
    [
        "train.py --metrics fid",
        "eval.py --name label2city --lr 1",
        "eval.py --config_path configs/cyclegan.yaml --how_many many",
        "-m src.editing checkpoints/label2city --width 512 --file_format onnx",
        "data/convert_checkpoint.py --source a.pth --metrics fid",
        "data/create_street_scenes.py scenes --trains 3",
    ],
)
def test_a_wrong_command_is_noticed(command):
    with pytest.raises((AssertionError, UserError)):
        check_program(command.split())


@pytest.mark.parametrize("page", [page.name for page in PAGES])
def test_every_command_is_run_or_says_what_it_needs(page):
    problems = []
    for command in COMMANDS:
        if command.page != page:
            continue
        if any(re.search(pattern, command.text) for pattern in NEEDS):
            if "needs" not in command.line:
                problems.append(f"{command.text}: its line does not say what it needs that is not here")
        elif not any(re.search(pattern, command.text) for pattern in RUN_BY):
            problems.append(f"{command.text}: no test is known to run it; add it to RUN_BY")
    assert not problems


@pytest.mark.parametrize("place", sorted(set(RUN_BY.values())))
def test_the_named_tests_are_there(place):
    file, name = place.split("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", EVERY_LANGUAGE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    page = Page(page)
    for line, target in page.links():
        if target.startswith("https://"):
            continue
        path, anchor = page.resolve(target)
        assert path.exists(), f"{page.name}, line {line}: there is no {target}"
        assert not anchor or anchor in Page(path).anchors, f"{page.name}, line {line}: no heading has {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_imports_in_examples_work(page):
    for module, names in re.findall(r"^from (src\S*) import ([\w, ]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
        for name in names.split(","):
            assert hasattr(importlib.import_module(module), name.strip()), (
                f"{page.name}: {module} has no {name.strip()}"
            )


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "old_names.md"], ids=lambda page: page.name)
def test_options_named_in_sentences_exist(page):
    """`--key` or `--key value` anywhere in the text is an option of some system or command."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    named = {key for code in re.findall(r"`([^`]+)`", text) for key in re.findall(r"(?<![\w-])--(\w+)", code)}
    assert not sorted(named - known_options())


@pytest.mark.parametrize("program", ["train", "eval", "precompute_feature_maps", "export"])
def test_help_lists_the_options(program, capsys):
    with pytest.raises(SystemExit) as ended:
        run_command(importlib.import_module(program).main, ["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and "--data_root './datasets/cityscapes'" in said and "PHASE_label" in said


@functools.cache
def known_options():
    schemas = [schema_of(ANY, description) for description in descriptions()]
    known = {name for schema in schemas for name in (*schema.options, *schema.other_names)}
    sources = [*(ROOT / "data").glob("*.py"), *(ROOT / "benchmarks").glob("*.py"), *(ROOT / "scripts").glob("*.sh")]
    sources.append(ROOT / "tests" / "check_reference.py")
    for path in sources:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        known |= set(re.findall(r"--(\w+)", text)) | set(re.findall(r"^    \"(\w+)\": \(", text, re.MULTILINE))
    return known | {"help", "config", "config_path", "key"}
