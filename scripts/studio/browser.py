"""A headless Chromium, spoken to over its DevTools protocol by a pipe: the standard library is enough."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

FLAGS = [
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe",
]


class Browser:
    """Starts Chromium with an empty profile; `page()` opens a page in it."""

    def __init__(self, program="chromium"):
        self.profile = tempfile.mkdtemp(prefix="studio-")
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()
        flags = FLAGS + [f"--user-data-dir={self.profile}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # Chromium's sandbox refuses root

        def pipes():  # what the browser reads from and writes to by its own rules
            os.dup2(to_browser, 103)
            os.dup2(from_browser, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        self.process = subprocess.Popen(
            [program, *flags, "about:blank"], preexec_fn=pipes, close_fds=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer = b""
        self.last = 0
        self.listeners = {}

    def close(self):
        self.process.terminate()
        self.process.wait()
        os.close(self.write_end)
        os.close(self.read_end)
        shutil.rmtree(self.profile, ignore_errors=True)

    def page(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session)

    def send(self, method, session=None, **parameters):
        """Calls a method of the protocol and returns the number of its result."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write_end, data):]
        return self.last

    def call(self, method, session=None, **parameters):
        """Calls a method of the protocol and waits for its result."""
        number = self.send(method, session, **parameters)
        while True:
            answer = self.read(60)
            if answer is None:
                raise RuntimeError(f"{method}: the browser does not answer")
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def read(self, seconds):
        """The next message, of which events are handed on; None if there is none in that time."""
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read_end], [], [], seconds)
            if not ready:
                return None
            data = os.read(self.read_end, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(message)
        if "method" in message:
            self.listeners.get(message.get("sessionId"), lambda _: None)(message)
        return message


class Page:
    """A page: what it shows, what a hand may do to it, and what it complains of and asks for."""

    def __init__(self, browser, session):
        self.browser, self.session = browser, session
        self.complaints, self.requests = [], []
        browser.listeners[session] = self.event
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"]:
            self.call(f"{domain}.enable")
        # Its workers ask and complain as well.
        self.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True)
        self.size(1280, 900)

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def event(self, message):
        method, of = message["method"], message["params"]
        if method == "Target.attachedToTarget":
            worker = of["sessionId"]
            self.browser.listeners[worker] = self.event
            for domain in ["Runtime", "Log", "Network"]:
                self.browser.send(f"{domain}.enable", worker)
            self.browser.send("Runtime.runIfWaitingForDebugger", worker)
        elif method == "Runtime.exceptionThrown":
            details = of["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and of["type"] in ["error", "warning", "assert"]:
            self.complaints.append(" ".join(str(one.get("value")) for one in of["args"]))
        elif method == "Log.entryAdded" and of["entry"]["level"] in ["error", "warning"]:
            self.complaints.append(of["entry"]["text"] + " " + of["entry"].get("url", ""))
        elif method == "Network.requestWillBeSent":
            self.requests.append(of["request"]["url"])

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'", f"{url} is loaded")

    def size(self, width, height, scale=1, mobile=False):
        self.shape = (width, height, scale, mobile)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile)
        self.until(f"innerHeight === {height}", "the page has its size")
        self.js("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def scheme(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def js(self, expression):
        """The value of an expression of JavaScript."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def until(self, expression, what, seconds=30):
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.js(f"Boolean({expression})"):
                return
            self.browser.read(0.03)
        raise AssertionError(f"not within {seconds} s: {what}\n  {expression}")

    def middle(self, selector):
        quoted = json.dumps(selector)
        # What is drawn is what a hand can hit, and that comes a frame later.
        box = self.js(f"""(async () => {{
            const one = document.querySelector({quoted});
            if (!one) return null;
            one.scrollIntoView({{ block: "center", inline: "nearest" }});
            for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
            const {{ x, y, width, height }} = one.getBoundingClientRect();
            return [x + width / 2, y + height / 2];
        }})()""")
        assert box, f"there is no {selector}"
        return box

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def hover(self, selector):
        x, y = self.middle(selector)
        self.mouse("mouseMoved", x, y)

    def click(self, selector):
        x, y = self.middle(selector)
        self.mouse("mouseMoved", x, y)
        for kind in ["mousePressed", "mouseReleased"]:
            self.mouse(kind, x, y, button="left", clickCount=1)

    def type(self, text):
        """Types into what has the focus."""
        for char in text:
            self.call("Input.dispatchKeyEvent", type="char", text=char)

    def key(self, key, code=None, number=0, shift=False, text=None):
        known = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
                 "ArrowDown": 40, "End": 35, "Home": 36, "Backspace": 8}
        parameters = {"key": key, "code": code or key, "windowsVirtualKeyCode": number or known.get(key, 0),
                      "modifiers": 8 if shift else 0}
        if key == "Enter":
            parameters["text"] = "\r"
        self.call("Input.dispatchKeyEvent", type="keyDown", **parameters)
        self.call("Input.dispatchKeyEvent", type="keyUp", **parameters)

    def screenshot(self, path, whole=False):
        shape = self.shape
        if whole:
            self.size(shape[0], max(shape[1], self.js("document.documentElement.scrollHeight")), *shape[2:])
        data = self.call("Page.captureScreenshot", format="png")["data"]
        self.size(*shape)
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def unnamed(self):
        """Roles of what can be used but has no name for a screen reader."""
        roles = {"button", "textbox", "combobox", "slider", "checkbox", "spinbutton", "gridcell", "treeitem", "grid", "tree"}
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        value = lambda node, key: node.get(key, {}).get("value")
        used = [node for node in nodes if not node.get("ignored") and value(node, "role") in roles]
        return [value(node, "role") for node in used if not value(node, "name")
                and any(one["name"] == "focusable" for one in node.get("properties", []))]
