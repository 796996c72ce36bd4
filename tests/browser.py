"""A real Chromium for tests of pages, driven over its DevTools pipe: nothing but the browser is needed."""

__all__ = ["Browser", "find_browser"]

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
KEYS = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Escape": 27,
    "Home": 36,
    "End": 35,
    "Enter": 13,
}


def find_browser() -> str:
    """Return the path of a Chromium, or fail with the way to get one."""
    for name in (os.environ.get("BROWSER_PATH"), *NAMES):
        path = name and shutil.which(name)
        if path:
            return path
    raise AssertionError("no Chromium: apt-get install chromium, or set BROWSER_PATH to one")


class Browser:
    """One page of a headless Chromium. Use it as a context manager; times are in seconds."""

    def __init__(self, width: int = 1440, height: int = 900):
        self._profile = tempfile.mkdtemp(prefix="browser-")
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        flags = list(FLAGS) + [f"--user-data-dir={self._profile}", f"--window-size={width},{height}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            flags.append("--no-sandbox")
        # Chromium expects its pipe on descriptors 3 and 4; a shell puts it there without a fork of ours.
        command = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", find_browser(), *flags, "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer, self._last, self._session = b"", 0, None
        self.events: list[dict] = []
        self.width, self.height = width, height
        try:
            deadline = time.monotonic() + 60
            while not (pages := self._pages()) and time.monotonic() < deadline:
                time.sleep(0.05)
            attached = self.send("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.send(f"{domain}.enable")
            # keys arrive whatever other windows the machine shows
            self.send("Emulation.setFocusEmulationEnabled", enabled=True)
            self.resize(width, height)
        except BaseException:
            self.close()
            raise

    def _pages(self) -> list[dict]:
        return [t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page"]

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and remove its profile."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)

    # -- protocol ----------------------------------------------------------------------------------------

    def send(self, method: str, timeout: float = 60, **parameters: object) -> dict:
        """Send one DevTools command and return its result; events that arrive meanwhile are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._receive(deadline)
            if answer is None:
                raise TimeoutError(f"the browser did not answer {method}")
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _receive(self, deadline: float) -> dict | None:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            data = os.read(self._read, 1 << 20)
            if not data:
                raise RuntimeError(f"the browser ended with status {self._process.wait()}")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(message)
        if "method" in message:
            self.events.append(message)
        return message

    # -- page --------------------------------------------------------------------------------------------

    def open(self, page: str | Path, ready: str = "document.readyState === 'complete'") -> float:
        """Open a file or an address, wait until ``ready`` (an expression) holds; return the seconds taken."""
        url = page.resolve().as_uri() if isinstance(page, Path) else page
        self.events.clear()
        start = time.monotonic()
        self.send("Page.navigate", url=url)
        blank = "true" if url == "about:blank" else "location.href !== 'about:blank'"
        self.wait_for(f"{blank} && ({ready})")
        return time.monotonic() - start

    def evaluate(self, expression: str) -> object:
        """Evaluate JavaScript in the page; promises are awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            detail = answer["exceptionDetails"]
            raise AssertionError(detail.get("exception", {}).get("description", detail["text"]))
        return answer["result"].get("value")

    def wait_for(self, expression: str, timeout: float = 30) -> None:
        """Wait until an expression holds in the page."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                if self.evaluate(f"Boolean(document.documentElement && ({expression}))"):
                    return
            except RuntimeError:
                pass  # between two pages there is no context to ask
            time.sleep(0.01)
        raise AssertionError(f"not true after {timeout} s: {expression}")

    def texts(self, selector: str) -> list[str]:
        """Return the visible text of every element that matches."""
        return self.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.innerText.trim())")

    def box(self, selector: str, index: int = 0) -> tuple[float, float, float, float]:
        """Return the left, top, width and height of an element in the window; scroll if its middle is hidden."""
        script = f"const e = document.querySelectorAll({json.dumps(selector)})[{index}];"
        script += """
            if (!e) throw new Error("no such element");
            let r = e.getBoundingClientRect();
            const top = document.elementFromPoint(r.left + r.width / 2, r.top + r.height / 2);
            if (!top || !e.contains(top)) {
              e.scrollIntoView({block: "center", inline: "center", behavior: "instant"});
              r = e.getBoundingClientRect();
            }
            return [r.left, r.top, r.width, r.height];"""
        return tuple(self.evaluate(f"(() => {{ {script} }})()"))

    def mouse(self, kind: str, x: float, y: float, **more: object) -> None:
        """Send one mouse event (``mouseMoved``, ``mousePressed``, ``mouseReleased``, ``mouseWheel``)."""
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, selector: str, index: int = 0, modifiers: int = 0) -> None:
        """Click the middle of an element; what covers it gets the click, as for a person."""
        left, top, width, height = self.box(selector, index)
        self.click_at(left + width / 2, top + height / 2, modifiers=modifiers)

    def click_at(self, x: float, y: float, **more: object) -> None:
        """Click at a point of the window."""
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1, **more)
        self.mouse("mouseReleased", x, y, button="left", buttons=0, clickCount=1, **more)

    def drag(self, start: tuple[float, float], stop: tuple[float, float], steps: int = 5) -> None:
        """Press at ``start``, move and release at ``stop``."""
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start, button="left", buttons=1, clickCount=1)
        for i in range(1, steps + 1):
            x, y = (a + (b - a) * i / steps for a, b in zip(start, stop, strict=True))
            self.mouse("mouseMoved", x, y, button="left", buttons=1)
        self.mouse("mouseReleased", *stop, button="left", buttons=0, clickCount=1)

    def key(self, name: str) -> None:
        """Press and release a key: a name from ``KEYS`` or one character."""
        code = KEYS.get(name, ord(name.upper()[0]))
        text = {"text": name} if len(name) == 1 else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=name, windowsVirtualKeyCode=code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=name, windowsVirtualKeyCode=code)

    def type(self, text: str) -> None:
        """Type text into the element that has the focus."""
        self.send("Input.insertText", text=text)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a select element: its list is drawn outside the page, where no click gets."""
        script = f"const e = document.querySelector({json.dumps(selector)}); e.value = {json.dumps(value)};"
        for event in ("input", "change"):
            script += f"e.dispatchEvent(new Event('{event}', {{bubbles: true}}));"
        self.evaluate(f"(() => {{ {script} }})()")

    def resize(self, width: int, height: int, scale: float = 1) -> None:
        """Set the size of the window in CSS pixels."""
        self.width, self.height = width, height
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )

    def prefer(self, scheme: str) -> None:
        """Prefer ``light`` or ``dark`` pages."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: str | Path | None = None, whole: bool = False) -> bytes:
        """Return the window (or the whole page) as PNG and write it to ``path``."""
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        data = base64.b64decode(answer["data"])
        if path is not None:
            Path(path).write_bytes(data)
        return data

    def complaints(self) -> list[str]:
        """Return what went wrong since the page was opened: exceptions, console errors, failed loads."""
        self.evaluate("0")
        found = []
        for event in self.events:
            method, parameters = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                detail = parameters["exceptionDetails"]
                found.append(detail.get("exception", {}).get("description", detail["text"]))
            elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"])
            elif method == "Network.loadingFailed" and not parameters.get("canceled"):
                found.append(f"not loaded: {parameters['errorText']}")
        return found

    def requests(self) -> list[str]:
        """Return every address that was asked for since the page was opened."""
        self.evaluate("0")
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
