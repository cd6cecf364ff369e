"""The task ``serve``, as a process: says where, serves, ends well when interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from therock_outputs.chores import PROJECT
from therock_outputs.commands.serve import serve_staging
from therock_outputs.console import Console
from therock_outputs.errors import NotFoundError
from therock_outputs.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_serves_until_interrupted(tmp_path: Path, host: str) -> None:
    (tmp_path / "7-linux").mkdir()
    (tmp_path / "7-linux" / "log.txt").write_text("hello")
    words = ["serve", "--staging-dir", str(tmp_path), "--port", "0", "--host", host, "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", "from therock_outputs.program import main; main()", *words],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        document = ""
        while not document.endswith("}\n"):
            line = process.stdout.readline()
            assert line
            document += line
        url = json.loads(document)["url"].replace("0.0.0.0", "127.0.0.1")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url + "7-linux/log.txt", timeout=20) as answer:
            assert answer.read() == b"hello"
        process.send_signal(signal.SIGINT)
        said, noted = process.communicate(timeout=20)
    assert process.returncode == 0
    assert said == ""
    assert ("warning: everyone who reaches" in noted) is (host == "0.0.0.0")
    assert "until you press Ctrl-C" in noted


def test_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    settings = Settings(staging_dir=tmp_path / "none")
    with pytest.raises(NotFoundError, match="is not there"):
        serve_staging(settings, Console.standard({}), host=None, port=0)
