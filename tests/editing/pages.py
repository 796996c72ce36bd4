"""The editor served from within a test, and what a person does in its page."""

import contextlib
import http.client
import threading
from pathlib import Path

from src import load
from src.editing.server import EditorServer
from src.editing.work import Worker

READY = "document.documentElement.dataset.ready"
IDLE = "document.documentElement.dataset.idle === 'true'"
CONTROL = 2
CAR, ROAD, SKY, TREE = 26, 7, 23, 21


@contextlib.contextmanager
def served(run, save_dir, **options):
    """A server for a run, in PyNative mode; its worker has a thread of its own."""
    worker = Worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        given = {"device_target": "CPU", "mode": "pynative", "phase": "test", **options}
        model = worker.call(lambda: load(run, **given))
        server = EditorServer(model.system.studio_class()(model, model.config), worker, save_dir)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        try:
            yield server
        finally:
            server.shutdown()
            server.server_close()
    finally:
        worker.stop()
        thread.join()


def ask(server, path, method="GET", body=None, secret=True, **headers):
    """Status, headers and body of an answer; ``path`` is what follows the secret."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"/{server.token}/{path}" if secret else path, body, names)
    response = connection.getresponse()
    answer = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return answer


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

    def save(self):
        """Save, and return the folder."""
        self.browser.evaluate("delete document.documentElement.dataset.saved")
        self.browser.click("#save")
        self.browser.wait_for("document.documentElement.dataset.saved")
        return Path(self.browser.evaluate("document.documentElement.dataset.saved"))

    def reopen(self, folder):
        """Open what was saved in a folder."""
        self.browser.click("#open-edit")
        self.browser.wait_for("document.querySelector('#edits').open")
        self.browser.click(f"[data-edit='{folder.name}']")
        self.browser.wait_for("document.documentElement.dataset.busy === 'false'")
        self.rest()

    def paint(self, script):
        """Change the maps behind the page's back; ``box(label, left, top, right, bottom)`` fills a rectangle."""
        box = """const box = (label, x0, y0, x1, y1, inst = label) => {
            for (let y = y0; y <= y1; y++) for (let x = x0; x <= x1; x++) {
                s.label[y * s.width + x] = label; s.inst[y * s.width + x] = inst;
            }
        };"""
        styles = "for (const id of new Set(s.inst)) s.styles[id] ||= [0, 0, 0];"
        self.browser.evaluate(f"(() => {{ const s = editor.session; {box} {script} {styles} }})()")

    def slide(self, selector, value, index=0):
        """Set a slider as a drag does."""
        script = f"const e = document.querySelectorAll({selector!r})[{index}]; e.value = {value};"
        for event in ("input", "change"):
            script += f"e.dispatchEvent(new Event('{event}', {{bubbles: true}}));"
        self.browser.evaluate(f"(() => {{ {script} }})()")
        self.rest()
