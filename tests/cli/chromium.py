# SPDX-License-Identifier: MIT
"""A headless Chromium that tests drive: what its developer tools see, over a pair of pipes.

The protocol is one JSON object a message, ended by a NUL. There is no network: whatever a page asks
for beyond its own file is seen, and would not get out.
"""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

DEADLINE = 60  # seconds for one answer
NAMES = "chromium", "chromium-browser", "google-chrome"
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
           "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
           "--host-resolver-rules=MAP * ~NOTFOUND", "--force-color-profile=srgb")
READY = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 30))))"


def why_none():
    """The reason why there is no browser, or None."""
    return None if find() else "chromium is not installed (make deps-dev)"


def find():
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    def __init__(self):
        self.home = tempfile.TemporaryDirectory(prefix="entrofs-chromium-", ignore_cleanup_errors=True)
        theirs, self.write_fd = os.pipe()
        self.read_fd, ours = os.pipe()
        # It wants them as descriptors 3 and 4.
        command = ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{ours}', "bash", find(), *OPTIONS,
                   "--user-data-dir=" + self.home.name, "about:blank"]
        env = {**os.environ, "HOME": self.home.name}
        self.process = subprocess.Popen(command, pass_fds=(theirs, ours), env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.close(ours)
        self.rest, self.number, self.events = b"", 0, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Log", "Network":
            self.call(domain + ".enable")

    def close(self):
        try:
            self.call("Browser.close")
        except (OSError, EOFError):
            pass
        os.close(self.write_fd)
        os.close(self.read_fd)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.home.cleanup()

    def receive(self):
        while b"\0" not in self.rest:
            if not select.select([self.read_fd], [], [], DEADLINE)[0]:
                raise TimeoutError("chromium does not answer")
            data = os.read(self.read_fd, 1 << 20)
            if not data:
                raise EOFError("chromium has ended")
            self.rest += data
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if hasattr(self, "session") and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write_fd, data):]
        while True:
            answer = self.receive()
            if answer.get("id") != self.number:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            else:
                return answer["result"]

    def open(self, path, width=1200, height=900, scheme="light"):
        """Shows a file, once it is drawn; what happens from here on is in events."""
        self.events = []
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        deadline = time.monotonic() + DEADLINE
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            if time.monotonic() > deadline:
                raise TimeoutError("the page does not load")
            self.events.append(self.receive())
        self.settle()

    def settle(self):
        """Waits until what has changed is drawn."""
        self.run(READY)

    def run(self, script):
        """The value of a script's last expression; a promise's result."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def press(self, key):
        for kind in "rawKeyDown", "keyUp":
            text = {"text": "\r"} if key == "Enter" and kind == "rawKeyDown" else {}
            code = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, "Tab": 9}[key]
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else kind, key=key, code=key,
                      windowsVirtualKeyCode=code, **text)
        self.settle()

    def complaints(self):
        """What the console says, and exceptions that nothing has caught."""
        return [event["params"] for event in self.events
                if event.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")]

    def requests(self):
        return [event["params"]["request"]["url"] for event in self.events
                if event.get("method") == "Network.requestWillBeSent"]

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
