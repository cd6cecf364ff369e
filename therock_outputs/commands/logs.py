"""The tasks ``upload-logs`` and ``upload-report``: what people read when a job has ended."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from therock_outputs.artifacts.reproducible import source_date_epoch
from therock_outputs.console import Console, format_size
from therock_outputs.errors import StorageError, UsageError
from therock_outputs.github.actions import append_outputs, append_summary, markdown_text
from therock_outputs.layout import StorageLocation
from therock_outputs.places import Places, places_of
from therock_outputs.publish.build_logs import BuildLogs, find_build_logs, find_report
from therock_outputs.publish.logs import LogPlan, LogScope, execute_logs, plan_logs, plan_report
from therock_outputs.publish.upload import size_of
from therock_outputs.settings import Settings
from therock_outputs.storage import Outcome

__all__ = [
    "JOB_STATUSES",
    "LogOptions",
    "LogsReport",
    "ReportOptions",
    "UploadedLog",
    "upload_logs",
    "upload_report",
]

JOB_STATUSES = ("success", "failure", "cancelled")
"""What GitHub's ``job.status`` says."""

# Pages that the summary links when they are there, in its order.
_PAGES = (
    ("build_observability.html", "Build observability"),
    ("build_time_analysis.html", "Build-time analysis"),
    ("comp-summary.html", "Compile summary"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """The flags of ``upload-logs``."""

    build_dir: Path = Path("build")
    stage: str | None = None
    amdgpu_family: str | None = None
    job_status: str = "success"
    no_listings: bool = False

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From the task's own flags; those that were not given keep their defaults."""
        return cls(**{name: value for name, value in own.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """The flags of ``upload-report``."""

    report_dir: Path | None = None
    subfolder: str | None = None
    no_listings: bool = False

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From the task's own flags."""
        return cls(**own)


@dataclass(frozen=True, slots=True)
class UploadedLog:
    """A file under the run's root."""

    name: str
    """Below the run's root."""
    size: int | None
    """Bytes; None for an archive that is yet to be written."""
    outcome: str
    url: str


@dataclass(frozen=True, slots=True)
class LogsReport:
    """What was uploaded and where it is: the JSON document of both tasks."""

    run_id: str
    directory: str
    """Where the logs are, or go."""
    index: str | None
    manifest: str | None
    artifacts: str | None
    """The page of the run's artifacts, after a job that succeeded."""
    files: tuple[UploadedLog, ...]
    missing: tuple[str, ...]
    left_out: tuple[str, ...]


def upload_logs(settings: Settings, options: LogOptions, console: Console) -> LogsReport:
    """Put what a build stage left under the run's root."""
    scope = LogScope(settings.artifact_group, options.stage, options.amdgpu_family)
    places = places_of(settings)
    logs = find_build_logs(options.build_dir)
    plan = plan_logs(places.destination, scope, logs, listings=not options.no_listings)
    title = f"Logs of {scope.title}"
    if options.job_status != "success":
        title += f" ({options.job_status})"
    succeeded = options.job_status == "success"
    page = places.destination.archive_index()
    artifacts = places.url(page) if succeeded else None
    return _Task(settings, places, logs, plan, title, artifacts, console).run()


def upload_report(settings: Settings, options: ReportOptions, console: Console) -> LogsReport:
    """Put test reports under the run's logs."""
    if options.report_dir is None:
        raise UsageError("where are the reports? give --report-dir")
    if options.subfolder is None:
        raise UsageError("what are they the reports of? give --subfolder, their name below logs/")
    places = places_of(settings)
    report = find_report(options.report_dir)
    plan = plan_report(
        places.destination, options.subfolder, report, listings=not options.no_listings
    )
    title = f"Test report {options.subfolder}"
    return _Task(settings, places, report, plan, title, None, console).run()


@dataclass(frozen=True, slots=True)
class _Task:
    """Both tasks, once it is known what goes where."""

    settings: Settings
    places: Places
    logs: BuildLogs
    plan: LogPlan
    title: str
    artifacts: str | None
    console: Console

    def run(self) -> LogsReport:
        """Say what is missing, upload the rest, tell where it is."""
        for sentence in self.logs.left_out:
            self.console.warn(f"left out: {sentence}")
        if self.logs.missing:
            self.console.note(f"not there, and not uploaded: {', '.join(self.logs.missing)}")
        if self.settings.dry_run:
            report = self._report(self._planned())
            self._tell(report)
            return report
        report = self._report(self._uploaded())
        self._tell(report)
        if report.files:
            append_outputs(os.environ, _outputs(report))
            append_summary(os.environ, self._summary(report))
        return report

    def _planned(self) -> Sequence[UploadedLog]:
        planned = [
            self._log(upload.target, size_of(upload), Outcome.PLANNED)
            for upload in self.plan.uploads
        ]
        planned += [
            self._log(archive.target, None, Outcome.PLANNED) for archive in self.plan.archives
        ]
        return planned

    def _uploaded(self) -> Sequence[UploadedLog]:
        refusal = self._refusal()
        if refusal and not self.plan.is_empty:
            self.console.note(f"{refusal}; the credentials at hand decide")
        try:
            with self.console.progress("upload", self.plan.size) as progress:
                done = execute_logs(
                    self.plan,
                    self.places.storage,
                    mtime=source_date_epoch(os.environ),
                    jobs=self.settings.jobs,
                    progress=progress.advance,
                )
        except StorageError as error:
            if refusal:
                raise StorageError(f"{error} ({refusal})") from error
            raise
        return [self._log(item.location, item.size, item.outcome) for item in done]

    def _refusal(self) -> str | None:
        """Why no role may write there; None where one may."""
        root = self.places.destination
        if self.places.is_local or root.write_role is not None:
            return None
        return root.reasons[-1]

    def _log(self, location: StorageLocation, size: int | None, outcome: Outcome) -> UploadedLog:
        name = location.relative_to(self.plan.root.root)
        return UploadedLog(name, size, outcome.value, self.places.url(location))

    def _report(self, files: Sequence[UploadedLog]) -> LogsReport:
        plan, url = self.plan, self.places.url
        return LogsReport(
            run_id=plan.root.run_id,
            directory=url(plan.directory),
            index=url(plan.index) if files and plan.index else None,
            manifest=url(plan.manifest) if plan.manifest else None,
            artifacts=self.artifacts,
            files=tuple(files),
            missing=self.logs.missing,
            left_out=self.logs.left_out,
        )

    def _tell(self, report: LogsReport) -> None:
        if not report.files:
            self.console.say("There is nothing to upload.")
            return
        self.console.table(
            ("file", "size", "outcome"),
            [
                (log.name, "" if log.size is None else format_size(log.size), log.outcome)
                for log in report.files
            ],
        )
        self.console.say(f"{self.title}: {report.index or report.directory}")

    def _summary(self, report: LogsReport) -> str:
        links = [("Logs", report.index or report.directory)]
        by_name = {log.name: log.url for log in report.files}
        below = self.plan.directory.relative_to(self.plan.root.root)
        links += [(title, by_name[below + n]) for n, title in _PAGES if below + n in by_name]
        if report.manifest:
            links.append(("Manifest", report.manifest))
        if report.artifacts:
            links.append(("Artifacts", report.artifacts))
        lines = [f"### {markdown_text(self.title)}", "", *_bullets(links)]
        if report.missing:
            lines += ["", f"Not there: {markdown_text(', '.join(report.missing))}"]
        return "\n".join(lines) + "\n"


def _bullets(links: Iterable[tuple[str, str]]) -> list[str]:
    return [
        f"- [{title}]({url})"
        if url.startswith(("https://", "http://"))
        else f"- {title}: {markdown_text(url)}"
        for title, url in links
    ]


def _outputs(report: LogsReport) -> dict[str, str]:
    outputs = {"logs_url": report.index or report.directory}
    if report.manifest:
        outputs["manifest_url"] = report.manifest
    if report.artifacts:
        outputs["artifacts_url"] = report.artifacts
    return outputs
