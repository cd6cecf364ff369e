"""How long fetching a whole run takes, beside ``s5cmd cp`` of the same objects.

Starts ``rclone serve s3`` over the run's directory, then runs both programs in turn as whole
processes, each into an empty directory. Ours checks every archive's SHA-256 against its
``.sha256sum``; s5cmd checks none. Prints the medians and their ratios and keeps them as JSON:
of the whole processes, and of our transfer alone, from the first request to the last byte. All of
it in several rounds, of which the one with the median ratio is shown in full.
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
from dataclasses import asdict, dataclass, replace
from pathlib import Path

_BUCKET = "bucket"
_KEYS = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY")
_HERE = Path(__file__).resolve().parent
_SECONDS = re.compile(r"\d+\.\d{3}")
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One program's runs."""

    wall_seconds: list[float]
    cpu_seconds: list[float]
    """Of the client alone, user and system."""
    peak_rss_mb: float
    transfer_seconds: list[float]
    """Without starting Python; empty for a program that does not tell."""
    server_cpu_seconds: list[float]
    """What the server took to answer it, on the same cores."""

    @property
    def median(self) -> float:
        """Wall seconds."""
        return statistics.median(self.wall_seconds)


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="directory of a run, named {run_id}-{platform}")
    parser.add_argument("--repeat", type=int, default=5, help="timed runs of each program")
    parser.add_argument("--rounds", type=int, default=7, help="how often all of that is done")
    parser.add_argument("--json", type=Path, default=_HERE / "results" / "fetch.json")
    arguments = parser.parse_args()
    run: Path = arguments.run.resolve()
    before = os.getloadavg()  # above 1 the machine was busy with other work
    files = sorted(p for p in run.rglob("*") if p.is_file())
    size = sum(p.stat().st_size for p in files)
    with tempfile.TemporaryDirectory(dir=run.parent.parent, prefix="bench-") as work_name:
        work = Path(work_name)
        (work / "root" / _BUCKET).mkdir(parents=True)
        shutil.copytree(run, work / "root" / _BUCKET / run.name, copy_function=_link_or_copy)
        with _rclone(work / "root") as (endpoint, server):
            programs = _programs(endpoint, run.name, work)
            _measure(programs, work, 1, server, endpoint)  # the server computes its ETags once
            rounds = [
                _measure(programs, work, arguments.repeat, server, endpoint)
                for _ in range(arguments.rounds)
            ]
        same = _same_trees(work / "therock_outputs", run, files)
    assert same, "what was fetched differs from the run"
    # The machine's own speed drifts: each round is compared with itself.
    rounds.sort(key=_ratio)
    measured = rounds[len(rounds) // 2]
    ours, theirs = measured["therock_outputs"], measured["s5cmd"]
    result = {
        "bytes": size,
        "objects": len(files),
        "cores": os.cpu_count(),
        "load_before": [round(load, 2) for load in before],
        "verified": {"therock_outputs": "SHA-256 of every archive", "s5cmd": "nothing"},
        "programs": {name: asdict(value) for name, value in measured.items()},
        "median_wall_seconds": {name: value.median for name, value in measured.items()},
        "ratios_of_rounds": [round(_ratio(one), 3) for one in rounds],
        "ratio": round(_ratio(measured), 3),
        "transfer_ratio": round(statistics.median(ours.transfer_seconds) / theirs.median, 3),
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{len(files)} objects, {size / 1e6:.0f} MB, {os.cpu_count()} cores")
    shown = " ".join(f"{_ratio(one):.2f}" for one in rounds)
    print(f"ratios of the rounds: {shown}; the median one:")
    for name, value in measured.items():
        print(
            f"{name:16} median {value.median:.3f} s of {sorted(value.wall_seconds)}, "
            f"CPU {statistics.median(value.cpu_seconds):.2f} s, {value.peak_rss_mb:.0f} MB, "
            f"CPU of the server {statistics.median(value.server_cpu_seconds):.2f} s"
        )
    print(
        f"ratio of whole processes {result['ratio']:.2f}, of our transfer alone "
        f"{result['transfer_ratio']:.2f} (1.00 or less: no slower than s5cmd)"
    )


def _ratio(measured: dict[str, Measurement]) -> float:
    return measured["therock_outputs"].median / measured["s5cmd"].median


def _programs(endpoint: str, run: str, work: Path) -> dict[str, list[str]]:
    """The commands, by the name of the program and of the directory it fetches into."""
    tools = Path(sys.prefix) / "bin"
    script = str(_HERE / "fetch_run.py")
    source = f"s3://{_BUCKET}/{run}/*"
    s5cmd = [str(tools / "s5cmd"), "--endpoint-url", endpoint, "cp", source]
    python = [sys.executable, script, _BUCKET, f"{run}/"]
    return {
        "s5cmd": [*s5cmd, f"{work / 's5cmd'}/"],
        "therock_outputs": [*python, str(work / "therock_outputs")],
    }


def _measure(
    programs: dict[str, list[str]], work: Path, repeat: int, server: int, endpoint: str
) -> dict[str, Measurement]:
    """Run the programs in turn, so that both see the same machine."""
    found = {name: Measurement([], [], 0.0, [], []) for name in programs}
    for _ in range(repeat):
        for name, command in programs.items():
            shutil.rmtree(work / name, ignore_errors=True)
            os.sync()  # the one before leaves 400 MB to be written
            before = _cpu_of(server)
            wall, cpu, peak, told = _time(command, endpoint, work)
            found[name].server_cpu_seconds.append(round(_cpu_of(server) - before, 3))
            found[name].wall_seconds.append(round(wall, 3))
            found[name].cpu_seconds.append(round(cpu, 3))
            best = max(found[name].peak_rss_mb, peak)
            found[name].transfer_seconds.extend(told)
            found[name] = replace(found[name], peak_rss_mb=best)
    return found


def _time(command: list[str], endpoint: str, work: Path) -> tuple[float, float, float, list[float]]:
    """Wall seconds, CPU seconds and peak memory in MB of a whole process, and what it tells."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    environment = {**kept, **dict(zip(names, _KEYS, strict=True)), "AWS_REGION": "us-east-2"}
    environment |= {"AWS_ENDPOINT_URL_S3": endpoint, "PYTHONPATH": str(_HERE.parent)}
    environment["PYTHONPYCACHEPREFIX"] = str(work / "pycache")
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled once
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        said.seek(0)
        told = [float(line) for line in said if _SECONDS.fullmatch(line.strip())]
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} failed"
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, told


def _cpu_of(process: int) -> float:
    """CPU seconds that a running process has taken: proc(5), fields 14 and 15."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _rclone(root: Path) -> Iterator[tuple[str, int]]:
    """The server, by its address and its process."""
    tool = str(Path(sys.prefix) / "bin" / "rclone")
    command = [tool, "serve", "s3", "--addr", "127.0.0.1:0", "--config", os.devnull]
    command += ["--auth-key", ",".join(_KEYS), str(root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            found = (match[0] for line in process.stderr if (match := _ADDRESS.search(line)))
            yield next(found), process.pid
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
