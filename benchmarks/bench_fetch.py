"""How long fetching a whole run takes, beside ``s5cmd cp`` of the same objects.

Starts ``rclone serve s3`` over the run's directory, then runs both programs in turn as whole
processes, each into an empty directory. Ours checks every archive's SHA-256 against its
``.sha256sum``; s5cmd checks none. Prints the medians and their ratio and keeps them as JSON.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

_BUCKET = "bucket"
_KEYS = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY")
_HERE = Path(__file__).resolve().parent
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One program's runs."""

    wall_seconds: list[float]
    cpu_seconds: list[float]
    """Of the client alone, user and system."""
    peak_rss_mb: float

    @property
    def median(self) -> float:
        """Wall seconds."""
        return statistics.median(self.wall_seconds)


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="directory of a run, named {run_id}-{platform}")
    parser.add_argument("--repeat", type=int, default=5, help="timed runs of each program")
    parser.add_argument("--json", type=Path, default=_HERE / "results" / "fetch.json")
    arguments = parser.parse_args()
    run: Path = arguments.run.resolve()
    files = sorted(p for p in run.rglob("*") if p.is_file())
    size = sum(p.stat().st_size for p in files)
    with tempfile.TemporaryDirectory(dir=run.parent.parent, prefix="bench-") as work_name:
        work = Path(work_name)
        (work / "root" / _BUCKET).mkdir(parents=True)
        shutil.copytree(run, work / "root" / _BUCKET / run.name, copy_function=_link_or_copy)
        with _rclone(work / "root") as endpoint:
            programs = _programs(endpoint, run.name, work)
            _measure(programs, work, 1)  # the server computes its ETags once
            measured = _measure(programs, work, arguments.repeat)
        same = _same_trees(work / "therock_outputs", run, files)
    assert same, "what was fetched differs from the run"
    ours, theirs = measured["therock_outputs"], measured["s5cmd"]
    result = {
        "bytes": size,
        "objects": len(files),
        "cores": os.cpu_count(),
        "verified": {"therock_outputs": "SHA-256 of every archive", "s5cmd": "nothing"},
        "programs": {name: asdict(value) for name, value in measured.items()},
        "median_wall_seconds": {name: value.median for name, value in measured.items()},
        "ratio": ours.median / theirs.median,
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{len(files)} objects, {size / 1e6:.0f} MB, {os.cpu_count()} cores")
    for name, value in measured.items():
        print(
            f"{name:16} median {value.median:.3f} s of {sorted(value.wall_seconds)}, "
            f"CPU {statistics.median(value.cpu_seconds):.2f} s, {value.peak_rss_mb:.0f} MB"
        )
    print(f"ratio {result['ratio']:.2f} (1.00 or less: no slower than s5cmd)")


def _programs(endpoint: str, run: str, work: Path) -> dict[str, list[str]]:
    """The commands, by the name of the program and of the directory it fetches into."""
    tools = Path(sys.prefix) / "bin"
    script = str(_HERE / "fetch_run.py")
    source = f"s3://{_BUCKET}/{run}/*"
    s5cmd = [str(tools / "s5cmd"), "--endpoint-url", endpoint, "cp", source]
    cache = f"PYTHONPYCACHEPREFIX={work / 'pycache'}"
    environment = [cache, f"AWS_ENDPOINT_URL_S3={endpoint}", f"PYTHONPATH={_HERE.parent}"]
    python = ["env", *environment, sys.executable, script, _BUCKET, f"{run}/"]
    return {
        "s5cmd": [*s5cmd, f"{work / 's5cmd'}/"],
        "therock_outputs": [*python, str(work / "therock_outputs")],
    }


def _measure(programs: dict[str, list[str]], work: Path, repeat: int) -> dict[str, Measurement]:
    """Run the programs in turn, so that both see the same machine."""
    found = {name: Measurement([], [], 0.0) for name in programs}
    for _ in range(repeat):
        for name, command in programs.items():
            shutil.rmtree(work / name, ignore_errors=True)
            os.sync()  # the one before leaves 400 MB to be written
            wall, cpu, peak = _time(command)
            found[name].wall_seconds.append(round(wall, 3))
            found[name].cpu_seconds.append(round(cpu, 3))
            best = max(found[name].peak_rss_mb, peak)
            found[name] = Measurement(found[name].wall_seconds, found[name].cpu_seconds, best)
    return found


def _time(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak memory in MB of a whole process."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    environment = {**kept, **dict(zip(names, _KEYS, strict=True)), "AWS_REGION": "us-east-2"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled once
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} failed"
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


@contextmanager
def _rclone(root: Path) -> Iterator[str]:
    """The server, by its address."""
    tool = str(Path(sys.prefix) / "bin" / "rclone")
    command = [tool, "serve", "s3", "--addr", "127.0.0.1:0", "--config", os.devnull]
    command += ["--auth-key", ",".join(_KEYS), str(root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield next(match[0] for line in process.stderr if (match := _ADDRESS.search(line)))
        finally:
            process.terminate()


def _link_or_copy(source: str, target: str) -> None:
    """A second name for the file where the file system allows it: it is only read."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _same_trees(directory: Path, run: Path, files: list[Path]) -> bool:
    fetched = sorted(p.relative_to(directory) for p in directory.rglob("*") if p.is_file())
    return fetched == [p.relative_to(run) for p in files] and all(
        filecmp.cmp(run / name, directory / name, shallow=False) for name in fetched
    )


if __name__ == "__main__":
    main()
