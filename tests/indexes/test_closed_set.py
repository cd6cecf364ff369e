"""An index is published only when all that its packages pin of each other is there."""

from __future__ import annotations

import pytest

from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.indexes.closed_set import (
    check_closed,
    in_order_of_need,
    unmet_requirements,
)
from therock_outputs.indexes.distributions import CoreMetadata, IndexedFile, parse_distribution

LINUX = "py3-none-linux_x86_64.whl"
WINDOWS = "py3-none-win_amd64.whl"


def file(filename: str, *requires: str, extras: tuple[str, ...] = ()) -> IndexedFile:
    name = parse_distribution(filename)
    return IndexedFile(filename, name, 1, "0" * 64, CoreMetadata(None, requires, extras))


SELECTOR = file(
    "rocm-1.0.tar.gz",
    "rocm-sdk-core==1.0",
    "rocm-sdk-device-gfx942==1.0; extra == 'device-gfx942'",
    "rocm-sdk-device-gfx1100==1.0; extra == 'device-gfx1100' and sys_platform == 'win32'",
    extras=("device-gfx942", "device-gfx1100"),
)
CORE = file(f"rocm_sdk_core-1.0-{LINUX}")
DEVICE = file(f"rocm_sdk_device_gfx942-1.0-{LINUX}", "rocm-sdk-libraries==1.0")
LIBRARIES = file(f"rocm_sdk_libraries-1.0-{LINUX}")


def test_whole_set_is_closed() -> None:
    check_closed([SELECTOR, CORE, DEVICE, LIBRARIES])


def test_missing_device_wheel_is_named_with_who_wants_it() -> None:
    with pytest.raises(
        NotFoundError, match=r"rocm-1\.0\.tar\.gz requires rocm-sdk-device-gfx942==1\.0.*build"
    ):
        check_closed([SELECTOR, CORE, LIBRARIES])


def test_what_several_extras_want_is_named_once() -> None:
    wants = file(
        "rocm-1.0.tar.gz",
        "rocm-profiler==1.0; extra == 'profiler'",
        "rocm-profiler==1.0; extra == 'all'",
        extras=("profiler", "all"),
    )
    [unmet] = unmet_requirements([wants])
    assert unmet.requirement == "rocm-profiler==1.0"


def test_device_wheel_of_weeks_before_does_not_count() -> None:
    old = file(f"rocm_sdk_device_gfx942-0.9-{LINUX}")
    assert len(unmet_requirements([SELECTOR, CORE, LIBRARIES, old])) == 1


def test_requirement_for_windows_counts_where_there_are_windows_wheels() -> None:
    core = file(f"rocm_sdk_core-1.0-{WINDOWS}")
    unmet = unmet_requirements([SELECTOR, CORE, DEVICE, LIBRARIES, core])
    assert {(u.requirement.split("=")[0], u.system) for u in unmet} == {
        ("rocm-sdk-device-gfx1100", "win32"),
        ("rocm-sdk-device-gfx942", "win32"),
    }


def test_packages_of_others_need_not_be_there() -> None:
    check_closed([file(f"rocm_sdk_core-1.0-{LINUX}", "numpy==2.0", "packaging>=24")])


def test_project_in_the_set_is_the_sets_own() -> None:
    torch = file(f"torch-2.9-{LINUX}", "triton==3.5")
    check_closed([torch])
    with pytest.raises(NotFoundError, match=r"torch-2\.9"):
        check_closed([torch, file(f"triton-3.4-{LINUX}")])


def test_unpinned_requirement_may_be_met_elsewhere() -> None:
    check_closed([file(f"rocm_profiler-1.0-{LINUX}", "rocm-sdk-core>=1.0")])


def test_local_version_is_met_by_itself() -> None:
    wants = file("rocm-1.0.dev0+abc.tar.gz", "rocm-sdk-core==1.0.dev0+abc")
    check_closed([wants, file(f"rocm_sdk_core-1.0.dev0+abc-{LINUX}")])
    with pytest.raises(NotFoundError):
        check_closed([wants, file(f"rocm_sdk_core-1.0.dev0+def-{LINUX}")])


def test_requirement_that_is_none_names_its_file() -> None:
    with pytest.raises(IntegrityError, match=r"rocm_x.* requires '===', which is no requirement"):
        check_closed([file(f"rocm_x-1.0-{LINUX}", "===")])


def test_long_list_of_lacking_packages_is_cut() -> None:
    wants = file(f"rocm_x-1.0-{LINUX}", *(f"rocm-{n}==1" for n in range(9)))
    with pytest.raises(NotFoundError, match=r"\(and 4 more\)"):
        check_closed([wants])


def test_what_is_required_comes_first() -> None:
    groups = in_order_of_need([SELECTOR, DEVICE, LIBRARIES, CORE])
    assert groups == [[CORE, LIBRARIES], [DEVICE], [SELECTOR]]


def test_versions_do_not_wait_for_each_other() -> None:
    old = file(f"rocm_sdk_core-0.9-{LINUX}", "rocm-sdk-libraries==0.9")
    odd = file(f"rocm_odd-1.0-{LINUX}", "???")
    assert in_order_of_need([old, LIBRARIES, odd]) == [[odd, old, LIBRARIES]]


def test_files_that_require_each_other_are_the_last_group() -> None:
    one = file(f"rocm_one-1.0-{LINUX}", "rocm-two==1.0", "rocm-one==1.0")
    two = file(f"rocm_two-1.0-{LINUX}", "rocm-one==1.0")
    assert in_order_of_need([one, two, CORE]) == [[CORE], [one, two]]
