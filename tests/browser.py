"""A real browser for pages: headless Chromium, driven through its debugging pipe."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless",
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_PATIENCE = 120.0
_KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
         "ArrowDown": 40, "Tab": 9, "Home": 36, "End": 35}  # fmt: skip

_WEAK_TEXT = """(() => {
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92
      : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const under = document.createElement("div");
  under.style.background = getComputedStyle(document.body).backgroundColor;
  document.body.append(under);
  if (rgb(getComputedStyle(under).backgroundColor)[3] === 0) under.style.background = "Canvas";
  const page = light(rgb(getComputedStyle(under).backgroundColor).slice(0, 3));
  under.remove();
  return [...document.querySelectorAll("body *")].filter(e => {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) return false;
    const text = light(rgb(getComputedStyle(e).color).slice(0, 3));
    return (Math.max(text, page) + 0.05) / (Math.min(text, page) + 0.05) < 4.5;
  }).map(e => e.textContent);
})()"""


class Browser:
    """A running browser with one page; what the page asked for and complained of is kept."""

    def __init__(self, process: subprocess.Popen[bytes], commands: int, answers: int) -> None:
        self._process = process
        self._commands = commands
        self._answers = answers
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._loaded: set[str] = set()

    def attach(self) -> None:
        """Open a page and watch it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **parameters: object) -> Any:  # noqa: ANN401 - JSON
        """Give a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def open(self, page: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load a file and wait until its script, if it has one, has drawn everything."""
        self.requests.clear()
        self.complaints.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        loader = self.call("Page.navigate", url=page.as_uri())["loaderId"]
        while loader not in self._loaded:
            self._receive()
        ready = """new Promise(done => {
            const state = () => document.documentElement.dataset.map;
            if (!document.scripts.length) return done("ready");
            if (state()) return done(state());
            new MutationObserver(() => state() && done(state()))
                .observe(document.documentElement, {attributes: true});
        })"""
        assert self.evaluate(ready) == "ready"

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - JSON
        """The value of an expression in the page."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def weak_text(self) -> list[str]:
        """Text that is hard to read on the page's background (WCAG 2, level AA)."""
        weak: list[str] = self.evaluate(_WEAK_TEXT)
        return weak

    def cut_text(self) -> list[str]:
        """Text that sticks out of the element that it is in."""
        cut: list[str] = self.evaluate(
            """[...document.querySelectorAll("h1, p, li, td, code, a")]
                .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
                .map(e => e.textContent)"""
        )
        return cut

    def press(self, key: str) -> None:
        """Press and release a key."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Keep a picture of the page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self) -> bytes:
        """The page as it is printed."""
        data: str = self.call("Page.printToPDF", printBackground=False)["data"]
        return base64.b64decode(data)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            # It answers within milliseconds; one that hangs must not hang the tests.
            ready, _, _ = select.select([self._answers], [], [], _PATIENCE)
            assert ready, "the browser does not answer"
            data = os.read(self._answers, 1 << 16)
            assert data, "the browser has gone"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._watch(message.get("method"), message.get("params", {}))
        return message

    def _watch(self, method: str | None, parameters: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Page.lifecycleEvent" and parameters["name"] == "load":
            self._loaded.add(parameters["loaderId"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(parameters["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start a browser with a profile of its own; it is gone afterwards."""
    program = shutil.which("chromium")
    assert program is not None, "chromium is not installed; see .ci/system-packages.txt"
    commands_in, commands_out = os.pipe()
    answers_in, answers_out = os.pipe()
    # The browser reads its commands from descriptor 3 and answers on 4. Not every sh can redirect
    # descriptors of two digits.
    wrapper = f'exec "$0" "$@" 3<&{commands_in} 4>&{answers_out}'
    with subprocess.Popen(
        ["bash", "-c", wrapper, program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(commands_in, answers_out),
        start_new_session=True,
    ) as process:
        os.close(commands_in)
        os.close(answers_out)
        browser = Browser(process, commands_out, answers_in)
        try:
            browser.attach()
            yield browser
        finally:
            # Not only the first of its processes: the others would still write to the profile.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(commands_out)
            os.close(answers_in)
