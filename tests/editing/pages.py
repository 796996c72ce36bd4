"""The editor served from within a test, and what a person does in its page."""

import contextlib
import threading

from src.editing.server import EditorServer
from src.editing.studios import open_studio
from src.editing.work import Worker
from src.inference import load

READY = "document.documentElement.dataset.ready"
IDLE = "document.documentElement.dataset.idle === 'true'"
CONTROL = 2
_OPTIONS = ("phase", "labels", "instances", "photos", "pictures", "styles", "width")


@contextlib.contextmanager
def served(run, save_dir, **options):
    """A server for a run, in PyNative mode; its worker has a thread of its own."""
    worker = Worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        more = {key: value for key, value in options.items() if key not in _OPTIONS}
        model = worker.call(lambda: load(run, device_target="CPU", mode="pynative", **more))
        given = {key: str(value) for key, value in options.items() if key in _OPTIONS}
        server = EditorServer(open_studio(model, given), worker, save_dir)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        try:
            yield server
        finally:
            server.shutdown()
            server.server_close()
    finally:
        worker.stop()
        thread.join()


# through a copy, because a canvas that is read often is kept elsewhere
_READ_PICTURE = """(() => {
  const shown = document.querySelector('#picture'), copy = new OffscreenCanvas(shown.width, shown.height);
  const context = copy.getContext('2d', {willReadFrequently: true});
  context.drawImage(shown, 0, 0);
  return Array.from(context.getImageData(0, 0, copy.width, copy.height).data);
})()"""


class Page:
    """The editor's page in a browser."""

    def __init__(self, browser, url):
        self.browser = browser
        browser.open(url, READY)
        self.rest()

    def rest(self):
        """Wait until everything that was asked for is drawn."""
        self.browser.wait_for(IDLE, 60)

    def value(self, expression):
        """A value of the page; ``s`` is the session."""
        return self.browser.evaluate(f"(() => {{ const s = editor.session; return {expression}; }})()")

    def array(self, name):
        """One of the document's arrays, as a flat list."""
        return self.value(f"Array.from(s.arrays.{name})")

    def picture(self):
        """The RGBA values of the picture that is shown, as a flat list."""
        return self.browser.evaluate(_READ_PICTURE)

    def spot(self, x, y, pane="#map"):
        """Where in the window the middle of pixel (x, y) of a pane lies."""
        left, top, width, height = self.browser.box(f"{pane} ~ .overlay")
        w, h = self.value("[s.width, s.height]")
        return left + (x + 0.5) / w * width, top + (y + 0.5) / h * height

    def tool(self, name, label=None):
        """Choose a tool and a class."""
        if label is not None:
            self.browser.click(f"[data-class='{label}']")
        self.browser.click(f"[data-tool={name}]")

    def click(self, x, y, pane="#map"):
        """Click a pixel."""
        self.browser.click_at(*self.spot(x, y, pane))
        self.rest()

    def drag(self, *points, pane="#map"):
        """Press at the first pixel, move over the others, release at the last."""
        spots = [self.spot(*point, pane) for point in points]
        self.browser.mouse("mouseMoved", *spots[0])
        self.browser.mouse("mousePressed", *spots[0], button="left", buttons=1, clickCount=1)
        for spot in spots[1:]:
            self.browser.mouse("mouseMoved", *spot, button="left", buttons=1)
        self.browser.mouse("mouseReleased", *spots[-1], button="left", buttons=0, clickCount=1)
        self.rest()

    def press(self, key, modifiers=0):
        """Press a key, with Ctrl where ``modifiers`` is :data:`CONTROL`."""
        code = {"Delete": 46, "ArrowLeft": 37, "Escape": 27}.get(key, ord(key.upper()[0]))
        for kind in ("rawKeyDown", "keyUp"):
            self.browser.send(
                "Input.dispatchKeyEvent", type=kind, key=key, modifiers=modifiers, windowsVirtualKeyCode=code
            )
        self.rest()

    def slide(self, selector, value, index=0):
        """Set a slider as a drag does."""
        script = f"const e = document.querySelectorAll({selector!r})[{index}]; e.value = {value};"
        for event in ("input", "change"):
            script += f"e.dispatchEvent(new Event('{event}', {{bubbles: true}}));"
        self.browser.evaluate(f"(() => {{ {script} }})()")
        self.rest()
