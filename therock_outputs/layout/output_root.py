"""The root of one run's outputs, with a method for every place below it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from therock_outputs.errors import UsageError
from therock_outputs.layout.buckets import BucketChoice, choose_bucket
from therock_outputs.layout.location import LayoutError, StorageLocation, plain_name
from therock_outputs.layout.names import (
    LOCAL_RUN_ID,
    THEROCK_REPOSITORY,
    PackageFormat,
    Platform,
    ReleaseType,
    parse_package_format,
    parse_platform,
    parse_repository,
    parse_run_id,
)
from therock_outputs.layout.workflow_run import WorkflowRun, is_fork_pull_request

__all__ = ["WorkflowOutputRoot"]

_log = logging.getLogger(__name__)

# A run that was never on GitHub has no bucket; S3 has no bucket of this name in our account,
# and a staging directory does not show it.
_LOCAL_BUCKET = "local-run"


@dataclass(frozen=True, slots=True)
class WorkflowOutputRoot:
    """Where a run's outputs lie: ``s3://{bucket}/{external_repo}{run_id}-{platform}/``.

    Directories end in ``/``, so that listing one never matches a longer name; with parts they
    name what lies below. Raises LayoutError for a part that would leave its directory.
    """

    root: StorageLocation
    """The run's own prefix; ends in ``/``."""
    run_id: str
    platform: Platform
    repository: str
    """The repository that the run belongs to, never a fork's."""
    write_role: str | None = None
    """ARN of the role that may write here, if any."""
    reasons: tuple[str, ...] = ()
    """Why it lies here, in sentences."""

    @classmethod
    def from_workflow_run(
        cls,
        *,
        environ: Mapping[str, str],
        run_id: str | None = None,
        platform: str | None = None,
        repository: str | None = None,
        release_type: str | None = None,
        run: Mapping[str, object] | None = None,
        event: Mapping[str, object] | None = None,
        bucket: str | None = None,
        prefix: str | None = None,
    ) -> WorkflowOutputRoot:
        """The root of a run, from arguments first and the environment second.

        ``run`` is GitHub's answer about that run, if the caller asked for it; it tells forks and
        old runs apart. Without it, ``event`` (the payload of this job) and ``IS_PR_FROM_FORK``
        do so for the run of this job only. ``bucket`` replaces the bucket, ``prefix`` what
        stands before ``{run_id}-{platform}/``. The environment gives THEROCK_RUN_ID, then
        GITHUB_RUN_ID; THEROCK_PLATFORM (default linux); GITHUB_REPOSITORY (default
        ROCm/TheRock); RELEASE_TYPE (default ci). Raises UsageError for values that mean nothing.
        """
        repo = parse_repository(
            repository or environ.get("GITHUB_REPOSITORY") or THEROCK_REPOSITORY
        )
        answer = WorkflowRun.from_api(run, repo) if run is not None else None
        number = _run_id(run_id, answer, environ)
        choice = choose_bucket(
            repository=repo,
            release_type=release_type or environ.get("RELEASE_TYPE") or ReleaseType.CI,
            is_fork_pr=_is_fork_pr(number, repo, answer, environ, event),
            updated_at=answer.updated_at if answer else None,
            bucket=bucket or None,
        )
        system = parse_platform(platform or environ.get("THEROCK_PLATFORM") or Platform.LINUX)
        return cls._of(choice, number, system, repo, prefix)

    def destination(
        self,
        *,
        environ: Mapping[str, str],
        upload_run_id: str | None = None,
        repository: str | None = None,
        release_type: str | None = None,
        event: Mapping[str, object] | None = None,
        bucket: str | None = None,
        prefix: str | None = None,
    ) -> WorkflowOutputRoot:
        """Where outputs made from this run go: another run, unless there is no other.

        That run is ``upload_run_id``, else GITHUB_RUN_ID, of ``repository``, else of
        GITHUB_REPOSITORY, so that repackaging an old run in CI never writes into it. With
        neither number set it is this run itself.
        """
        run_id = upload_run_id or environ.get("GITHUB_RUN_ID")
        repo = repository or (run_id and environ.get("GITHUB_REPOSITORY")) or self.repository
        run_id = parse_run_id(run_id or self.run_id)
        same_run = (run_id, parse_repository(repo)) == (self.run_id, self.repository)
        if same_run and not bucket and prefix is None:
            return self
        return WorkflowOutputRoot.from_workflow_run(
            environ=environ,
            run_id=run_id,
            platform=self.platform,
            repository=repo,
            release_type=release_type,
            event=event,
            bucket=bucket,
            prefix=prefix,
        )

    @classmethod
    def for_local(
        cls,
        run_id: str = LOCAL_RUN_ID,
        platform: str = Platform.LINUX,
        repository: str = THEROCK_REPOSITORY,
        prefix: str | None = None,
    ) -> WorkflowOutputRoot:
        """The root of a run that was never on GitHub, in a staging directory."""
        choice = BucketChoice(_LOCAL_BUCKET, "", None, ("a local run: no bucket",))
        return cls._of(
            choice,
            parse_run_id(run_id),
            parse_platform(platform),
            parse_repository(repository),
            prefix,
        )

    @classmethod
    def _of(
        cls,
        choice: BucketChoice,
        run_id: str,
        platform: Platform,
        repository: str,
        prefix: str | None,
    ) -> WorkflowOutputRoot:
        before = choice.external_repo if prefix is None else prefix
        if before and not before.endswith("/"):
            before += "/"
        return cls(
            root=StorageLocation(choice.bucket, f"{before}{run_id}-{platform}/"),
            run_id=run_id,
            platform=platform,
            repository=repository,
            write_role=choice.write_role,
            reasons=choice.reasons,
        )

    @property
    def bucket(self) -> str:
        """The bucket that the run lies in."""
        return self.root.bucket

    # The artifacts, at the top of the run.

    def archive(self, filename: str) -> StorageLocation:
        """An artifact archive."""
        return self.root / plain_name(filename, "archive")

    def archive_digest(self, filename: str) -> StorageLocation:
        """The ``.sha256sum`` file beside an artifact archive."""
        return self.archive(f"{filename}.sha256sum")

    def archive_index(self, group: str | None = None) -> StorageLocation:
        """The listing page of all archives, or of one artifact group's."""
        if group is None:
            return self.root / "index.html"
        return self.root / f"index-{plain_name(group, 'artifact group')}.html"

    # Logs. What lies where depends on the pipeline; `logs` takes any of it.

    def logs(self, *parts: str) -> StorageLocation:
        """``logs/``, or what lies below it."""
        return _below(self.root / "logs/", parts)

    def logs_index(self) -> StorageLocation:
        """The listing page of all logs."""
        return self.logs("index.html")

    def group_logs(self, group: str, *parts: str) -> StorageLocation:
        """A single-stage build's logs: ``logs/{artifact_group}/…``."""
        return _below(self.logs(plain_name(group, "artifact group") + "/"), parts)

    def stage_logs(self, stage: str, family: str | None, *parts: str) -> StorageLocation:
        """A multi-arch stage's logs: ``logs/{stage}/…``, or ``logs/{stage}/{family}/…``."""
        place = self.logs(plain_name(stage, "stage") + "/")
        if family is not None:
            place /= plain_name(family, "family") + "/"
        return _below(place, parts)

    def packaging_logs(self, package_format: str, *parts: str) -> StorageLocation:
        """The logs of native packaging: ``logs/packaging/{deb,rpm}/…``."""
        kind = parse_package_format(package_format)
        return _below(self.logs(f"packaging/{kind}/"), parts)

    def test_reports(self, subfolder: str, *parts: str) -> StorageLocation:
        """Test reports: ``logs/{subfolder}/…``."""
        return _below(self.logs(plain_name(subfolder, "subfolder") + "/"), parts)

    # Manifests.

    def manifests(self, *parts: str) -> StorageLocation:
        """``manifests/``, or what lies below it."""
        return _below(self.root / "manifests/", parts)

    def manifests_index(self) -> StorageLocation:
        """The listing page of all manifests."""
        return self.manifests("index.html")

    def manifest(self, group: str | None = None) -> StorageLocation:
        """The run's manifest, or one artifact group's."""
        if group is None:
            return self.manifests("therock_manifest.json")
        return self.manifests(plain_name(group, "artifact group"), "therock_manifest.json")

    # Python packages.

    def python(self, *parts: str) -> StorageLocation:
        """``python/``, or what lies below it."""
        return _below(self.root / "python/", parts)

    def python_files(self, group: str | None = None, *parts: str) -> StorageLocation:
        """The wheels of a split run, or those of one family or artifact group."""
        place = (
            self.python()
            if group is None
            else self.python(plain_name(group, "artifact group") + "/")
        )
        return _below(place, parts)

    def python_find_links(self, group: str | None = None) -> StorageLocation:
        """The flat page for ``pip --find-links``."""
        return self.python_files(group, "index.html")

    def python_simple(self, group: str | None = None, *parts: str) -> StorageLocation:
        """The PEP 503 index, or what lies below it."""
        return _below(self.python_files(group, "simple/"), parts)

    def python_deps(self, *parts: str) -> StorageLocation:
        """The index of dependencies, which the runs of a bucket share."""
        return _below(StorageLocation(self.bucket, "python-deps/simple/"), parts)

    def python_deps_files(self, *parts: str) -> StorageLocation:
        """The wheels that this index lists, or what lies beside them."""
        return _below(StorageLocation(self.bucket, "python-deps/"), parts)

    # Native packages.

    def packages(self, package_format: str, *parts: str) -> StorageLocation:
        """``packages/deb/`` or ``packages/rpm/``, or what lies below it."""
        kind = parse_package_format(package_format)
        return _below(self.root / f"packages/{kind}/", parts)

    def deb_repository(self) -> StorageLocation:
        """What an apt source line names: holds ``pool/`` and ``dists/``."""
        return self.packages(PackageFormat.DEB)

    def rpm_repository(self) -> StorageLocation:
        """What a dnf ``baseurl`` names: holds ``*.rpm`` and ``repodata/``."""
        return self.packages(PackageFormat.RPM, "x86_64/")

    # Tarballs.

    def tarballs(self) -> StorageLocation:
        """``tarballs/``."""
        return self.root / "tarballs/"

    def tarball(self, filename: str) -> StorageLocation:
        """A tarball, or the ``SHA256SUMS`` beside them."""
        return self.tarballs() / plain_name(filename, "tarball")

    def tarballs_index(self) -> StorageLocation:
        """The listing page of all tarballs."""
        return self.tarball("index.html")


def _below(place: StorageLocation, parts: tuple[str, ...]) -> StorageLocation:
    for part in parts:
        place /= part
    return place


def _run_id(run_id: str | None, answer: WorkflowRun | None, environ: Mapping[str, str]) -> str:
    """The run's id: the argument, the API's answer, or the environment's."""
    if answer is not None:
        if run_id is not None and parse_run_id(run_id) != answer.run_id:
            raise LayoutError(
                f"run {run_id} was asked for but the answer is about run {answer.run_id}"
            )
        return answer.run_id
    found = run_id or environ.get("THEROCK_RUN_ID") or environ.get("GITHUB_RUN_ID")
    if not found:
        raise UsageError("no run is named; give --run-id or set THEROCK_RUN_ID or GITHUB_RUN_ID")
    return parse_run_id(found)


def _is_fork_pr(
    run_id: str,
    repository: str,
    answer: WorkflowRun | None,
    environ: Mapping[str, str],
    event: Mapping[str, object] | None,
) -> bool:
    """Whether the run is a fork's pull request, as far as can be told without a look-up."""
    if answer is not None:
        return answer.is_fork_pr
    here = environ.get("GITHUB_RUN_ID") or run_id
    asked_here = parse_repository(environ.get("GITHUB_REPOSITORY") or repository)
    if here == run_id and asked_here.lower() == repository.lower():
        return is_fork_pull_request(environ, event)
    _log.info(
        "run %s of %s is not this job's and was not looked up: taken as no fork's pull request",
        run_id,
        repository,
    )
    return False
