"""Settings: flags win over the environment, the environment over the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from therock_outputs.errors import UsageError
from therock_outputs.flags import SHARED, RawValue
from therock_outputs.layout.names import Platform, ReleaseType
from therock_outputs.settings import Settings, settings_from

_RUN = "24217435275"


@pytest.mark.parametrize(
    ("flags", "environ", "name", "value"),
    [
        # nothing is given
        ({}, {}, "run_id", None),
        ({}, {}, "upload_run_id", None),
        ({}, {}, "run_github_repo", "ROCm/TheRock"),
        ({}, {}, "github_repository", "ROCm/TheRock"),
        ({}, {}, "release_type", ReleaseType.CI),
        ({}, {}, "platform", Platform.LINUX),
        ({}, {}, "staging_dir", None),
        ({}, {}, "amdgpu_families", ()),
        ({}, {}, "is_pr_from_fork", None),
        ({}, {}, "dry_run", False),
        # the environment
        ({}, {"THEROCK_RUN_ID": _RUN}, "run_id", _RUN),
        ({}, {"GITHUB_RUN_ID": _RUN}, "run_id", _RUN),
        ({}, {"THEROCK_RUN_ID": "1", "GITHUB_RUN_ID": "2"}, "run_id", "1"),
        ({}, {"THEROCK_RUN_ID": "1", "GITHUB_RUN_ID": "2"}, "upload_run_id", "2"),
        ({}, {"THEROCK_RUN_ID": "1"}, "upload_run_id", "1"),
        ({}, {"THEROCK_RUN_ID": "  "}, "run_id", None),
        ({}, {"GITHUB_REPOSITORY": "me/TheRock"}, "run_github_repo", "me/TheRock"),
        ({}, {"GITHUB_REPOSITORY": "me/TheRock"}, "github_repository", "me/TheRock"),
        ({}, {"THEROCK_PLATFORM": "windows"}, "platform", Platform.WINDOWS),
        ({}, {"RELEASE_TYPE": "nightly"}, "release_type", ReleaseType.NIGHTLY),
        ({}, {"THEROCK_LOCAL_STAGING_DIR": "s"}, "staging_dir", Path("s")),
        ({}, {"IS_PR_FROM_FORK": "true"}, "is_pr_from_fork", True),
        ({}, {"IS_PR_FROM_FORK": "False"}, "is_pr_from_fork", False),
        ({}, {"IS_PR_FROM_FORK": ""}, "is_pr_from_fork", None),
        ({}, {"GITHUB_ACTIONS": "true"}, "github_actions", True),
        ({}, {"GITHUB_OUTPUT": "/tmp/o"}, "github_output", Path("/tmp/o")),  # noqa: S108
        ({}, {"GITHUB_STEP_SUMMARY": ""}, "github_step_summary", None),
        # flags win
        ({"run_id": "3"}, {"THEROCK_RUN_ID": "1", "GITHUB_RUN_ID": "2"}, "run_id", "3"),
        ({"run_id": "3"}, {"GITHUB_RUN_ID": "2"}, "upload_run_id", "2"),
        ({"run_id": "3"}, {}, "upload_run_id", "3"),
        ({"run_id": "3", "upload_run_id": "4"}, {"GITHUB_RUN_ID": "2"}, "upload_run_id", "4"),
        (
            {"run_github_repo": "a/b"},
            {"GITHUB_REPOSITORY": "me/TheRock"},
            "github_repository",
            "me/TheRock",
        ),
        ({"run_github_repo": "a/b"}, {"GITHUB_REPOSITORY": "c/d"}, "run_github_repo", "a/b"),
        ({"platform": "linux"}, {"THEROCK_PLATFORM": "windows"}, "platform", Platform.LINUX),
        ({"staging_dir": "f"}, {"THEROCK_LOCAL_STAGING_DIR": "s"}, "staging_dir", Path("f")),
        ({"release_type": "dev"}, {"RELEASE_TYPE": "nightly"}, "release_type", ReleaseType.DEV),
        ({"amdgpu_families": ["a;b", "c"]}, {}, "amdgpu_families", ("a", "b", "c")),
        ({"jobs": "7"}, {}, "jobs", 7),
        ({"dry_run": True}, {}, "dry_run", True),
        ({"json": True}, {}, "json", True),
    ],
)
def test_flags_win_over_environment_and_environment_over_defaults(
    flags: dict[str, RawValue], environ: dict[str, str], name: str, value: object
) -> None:
    assert getattr(settings_from(flags, environ), name) == value


@pytest.mark.parametrize(
    ("flags", "environ", "message"),
    [
        ({"run_id": ""}, {"THEROCK_RUN_ID": _RUN}, "--run-id needs a value"),
        ({"run_id": "../x"}, {}, "run id '../x'"),
        ({}, {"THEROCK_RUN_ID": "a b"}, "run id 'a b'"),
        ({"platform": "beos"}, {}, "--platform is one of linux, windows"),
        ({}, {"THEROCK_PLATFORM": "beos"}, "(from THEROCK_PLATFORM in the environment)"),
        ({}, {"RELEASE_TYPE": "final"}, "(from RELEASE_TYPE in the environment)"),
        ({"run_github_repo": "TheRock"}, {}, "owner/name"),
        ({}, {"IS_PR_FROM_FORK": "maybe"}, "IS_PR_FROM_FORK in the environment is true or false"),
    ],
)
def test_setting_that_makes_no_sense_names_its_flag_or_variable(
    flags: dict[str, RawValue], environ: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        settings_from(flags, environ)
    assert message in str(caught.value)


def test_jobs_are_this_machines_processors_by_default() -> None:
    assert settings_from({}, {}).jobs >= 1


def test_every_shared_flag_is_a_field_of_the_settings() -> None:
    assert set(SHARED) <= set(Settings.__dataclass_fields__)


def test_token_is_not_shown_by_repr() -> None:
    assert "secret" not in repr(settings_from({}, {"GITHUB_TOKEN": "secret"}))


def test_missing_run_id_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--run-id"):
        _ = Settings().required_run_id


def test_work_and_output_directories_follow_the_run() -> None:
    assert Settings(run_id="7").run_work_dir == Path("build/7")
    assert Settings(run_id="7").run_output_dir == Path("build/7/outputs")
    assert Settings(work_dir=Path("w")).run_output_dir == Path("w/outputs")
    assert Settings(output_dir=Path("o")).run_output_dir == Path("o")
