"""What the scripts of several devices count and pass on before they start a worker."""

import subprocess
import sys

import pytest

from src.options.owner import ROOT


def shell(program, *words, **settings):
    """A program that has the functions of common.sh; status, output and errors."""
    done = subprocess.run(
        ["bash", "-c", f"source {ROOT}/scripts/common.sh; {program}", "test", *map(str, words)],
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable} | settings, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.fixture
def eight(tmp_path):
    """The device files of a host with eight NPUs."""
    for name in ["davinci_manager", *(f"davinci{number}" for number in range(8))]:
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("target", ["auto", "Ascend"])
def test_more_cards_than_devices_are_refused_with_both_numbers(eight, target):
    check = 'device_folder=$1; check_devices "$2" --device_target "$3"'
    assert shell(check, eight, 8, target) == (0, "", "")
    refused = "error: 16 workers need 16 Ascend devices, this host has 8: ask for fewer"
    assert shell(check, eight, 16, target) == (2, "", refused)
    status, _, said = shell(check, eight, 8, target, ASCEND_RT_VISIBLE_DEVICES="0,1,2,3")
    assert status == 2 and "this host has 4" in said


def test_processors_are_not_counted(tmp_path):
    check = 'device_folder=$1; check_devices "$2" --device_target auto'
    assert shell(check, tmp_path, 16) == (0, "", "")


def test_binding_to_cores_is_passed_on_where_msrun_knows_it(tmp_path):
    msrun = f"{sys.prefix}/bin/msrun"
    assert shell('binding "$1"', msrun, BIND_CORE="1") == (0, "--bind_core=True", "")
    assert shell('binding "$1"', msrun) == (0, "", "")
    old = tmp_path / "msrun"
    old.write_text("#!/bin/sh\necho '--worker_num WORKER_NUM'\n")
    old.chmod(0o755)
    status, said, error = shell('bound=$(binding "$1"); echo "$bound"', old, BIND_CORE="1")
    assert (status, said) == (2, "") and "this msrun does not know --bind_core" in error
    assert shell('binding "$1"', msrun, BIND_CORE="yes")[0] == 2
