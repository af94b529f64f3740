#!/usr/bin/env python3
"""Uses the studio without a server in a headless Chromium, and compares its answers with those of `att serve`.

    apt install chromium
    cargo build -p att-cli
    rustup target add wasm32-wasip1 && cargo wasm
    python3 scripts/studio/test_web.py target/debug/att target/wasm32-wasip1/wasm/att_wasm.wasm --pictures pictures

Python's standard library is enough. Trains two tiny models first (seconds), unless --model names others; with
--times prints how long answers take in the browser and in the server.
Run with Python 3.11 and Chromium 148.
"""

import argparse
import functools
import http.server
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from browser import Browser
from test_studio import OUTPUT, WORD, Server, Studio, check_console, check_hosts, run, train

TEXTS = [WORD, "a", "hgfedcba", "abab", "", "xyz", "ab <b>"]
# How far numbers of the two may be apart, of those above one in proportion: they add up in another order.
SCORES = {"score", "log_prob", "token_log_probs"}
SCORE, OTHER = 1e-5, 1e-4


class Site:
    """A folder of files behind a server that knows nothing else."""

    def __init__(self, folder):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        handler = functools.partial(Quiet, directory=folder)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()


class Web(Studio):
    """The page of a site, with what the server says beside it."""

    def __init__(self, browser, site, server, models, pictures):
        super().__init__(browser, site.address, pictures)
        self.server = server
        self.models = [model.split("=")[0] for model in models]
        self.directories = dict(model.split("=") for model in models)

    def open(self, fragment=""):
        self.page.open("about:blank")
        self.page.open(f"{self.address}/{fragment}")
        self.page.until("document.querySelector('#model').options.length > 0", "models")

    def in_browser(self, request):
        """The answer of the page's module."""
        ask = f"""import("./backend.js").then(({{ backend }}) => backend.explain({json.dumps(request)}))
            .catch(({{ message, code }}) => ({{ error: message, code }}))"""
        return self.page.js(ask)

    def in_server(self, request):
        """The answer of `att serve`."""
        asked = urllib.request.Request(
            f"{self.server.address}/v1/explain", json.dumps(request).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(asked) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def same(self, request):
        """Both answers are the same; returns them, and the greatest differences of scores and of other numbers."""
        found, expected = self.in_browser(request), self.in_server(request)
        most = {SCORE: 0.0, OTHER: 0.0}
        compare(found, expected, f"{request}: ", OTHER, most)
        return found, most


def compare(found, expected, where, tolerance, most):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), f"{where}{set(found) ^ set(expected)}"
        for key, value in expected.items():
            compare(found[key], value, f"{where}.{key}", SCORE if key in SCORES else tolerance, most)
    elif isinstance(expected, list):
        assert len(found) == len(expected), f"{where}: {len(found)} of {len(expected)}"
        for place, pair in enumerate(zip(found, expected)):
            compare(*pair, f"{where}[{place}]", tolerance, most)
    elif isinstance(expected, float):
        difference = abs(found - expected) / max(1, abs(expected))
        most[tolerance] = max(most[tolerance], difference)
        assert difference <= tolerance, f"{where}: {found} for {expected}"
    else:
        assert found == expected, f"{where}: {found} for {expected}"


EVERYTHING = {"tree": True, "erasure": True, "words": True, "heads": True, "alternatives": 6}


def check_typing(web):
    """What is typed is translated as by the server, and drawn."""
    assert web.page.js("[...document.querySelector('#model').options].map((one) => one.value)") == web.models
    for text in ["a", WORD, "hgfedcba"]:
        web.write(text)
        expected = web.in_server({"text": text})["hypotheses"][0]
        web.page.until(f"{OUTPUT} === {json.dumps(expected['text'])}", f"{text} is {expected['text']}")
        assert web.count(".map tbody tr") == len(expected["tgt_tokens"])
    web.picture("web-1-map")
    web.page.click(".map tbody tr:nth-child(2) td[data-s='0']")
    web.page.until("document.querySelector('.step')", "the step is open")
    web.picture("web-2-step", True)


def check_answers(web):
    """Tokens equal the native ones, scores to 1e-5, attention and what else there is to 1e-4."""
    most = {SCORE: 0.0, OTHER: 0.0}
    for model in web.models:
        for text in TEXTS:
            answer, found = web.same({"text": text, "model": model, **EVERYTHING})
            assert bool(answer["hypotheses"]) == bool(text), answer
            most = {key: max(most[key], found[key]) for key in most}
    print(f"        greatest differences: scores {most[SCORE]:.1e}, attention and the rest {most[OTHER]:.1e}")


def check_changes(web):
    """Edited attention, pinned tokens and another search change what they change natively."""
    plain, _ = web.same({"text": WORD})
    tokens = plain["hypotheses"][0]["tgt_tokens"]
    row = [1.0] + [0.0] * (len(plain["src_tokens"]) - 1)
    edited, _ = web.same({"text": WORD, "edits": [{"step": 1, "weights": row}]})
    assert edited["hypotheses"][0]["attention"]["weights"][1][0] > 0.99
    pinned, _ = web.same({"text": WORD, "pinned": [tokens[2]]})
    assert pinned["hypotheses"][0]["tgt_tokens"][0] == tokens[2]
    for search in [{"beam_size": 1}, {"beam_size": 8, "n_best": 8}, {"length_penalty": {"kind": "gnmt", "alpha": 0.6}}]:
        web.same({"text": WORD, "search": search})


def check_refusals(web):
    """What can't be is refused in the same words."""
    for more in [{"pinned": ["nothing"]}, {"search": {"beam_size": 0}}, {"alternatives": 99}]:
        found, _ = web.same({"text": WORD, **more})
        assert found["error"], found


def check_superseded(web):
    """Of questions that are called off none reaches the worker but the one that it had begun."""
    sent, ends = web.page.js("""import("./backend.js").then(async ({ backend }) => {
        const post = Worker.prototype.postMessage;
        let sent = 0;
        Worker.prototype.postMessage = function (...values) { sent += 1; return post.apply(this, values); };
        const controls = Array.from({ length: 5 }, () => new AbortController());
        const asked = controls.map(({ signal }, i) => backend.explain({ text: "abcd".slice(0, i) + "a" }, signal));
        controls.slice(0, 4).forEach((control) => control.abort());
        const ends = await Promise.allSettled(asked);
        Worker.prototype.postMessage = post;
        return [sent, ends.map((end) => end.reason?.name ?? end.value.src_tokens.length)];
    })""")
    assert ends == ["AbortError"] * 4 + [6], ends
    assert sent == 2, sent


def check_open(web, folder):
    """A visitor's own model, packed or a directory, answers as the site's."""
    page = web.page
    name = web.models[0]
    for kind, file in [("[accept]", os.path.join(folder, "models", f"{name}.att")),
                       ("[webkitdirectory]", web.directories[name])]:
        web.open()
        root = page.call("DOM.getDocument")["root"]["nodeId"]
        node = page.call("DOM.querySelector", nodeId=root, selector=f"input{kind}")["nodeId"]
        page.call("DOM.setFileInputFiles", nodeId=node, files=[os.path.abspath(file)])
        page.until("document.querySelector('#model').value && document.querySelector('#model').options.length > "
                   f"{len(web.models)}", "the model is there")
        opened = page.js("document.querySelector('#model').value")
        assert opened not in web.models, opened
        answer = web.in_browser({"text": WORD, "model": opened})
        assert answer.pop("model", None) == opened, answer
        expected = web.in_browser({"text": WORD, "model": name})
        expected.pop("model")
        assert answer == expected


def check_damage(web, folder):
    """A model that is not whole, or not there, is said to be so, and the page goes on."""
    page = web.page
    path = os.path.join(folder, "models", f"{web.models[0]}.att")
    with open(path, "rb") as file:
        whole = file.read()
    changed = time.time()
    for content, expected in [(whole[:-1] + bytes([whole[-1] ^ 1]), "is damaged in model.safetensors"),
                              (whole[: len(whole) // 2], "is damaged"), (b"text", "is not a packed model"),
                              (None, "is not there (status 404)")]:
        os.remove(path)
        if content is not None:
            # Python's server tells versions of a file apart by seconds.
            changed += 1
            with open(path, "wb") as file:
                file.write(content)
            os.utime(path, (changed, changed))
        web.open()
        page.js("document.querySelector('#text').focus()")
        page.type("ab")
        page.until("document.querySelector('.pane .trouble')?.hidden === false", expected)
        assert expected in web.text(".pane .trouble"), web.text(".pane .trouble")
    with open(path, "wb") as file:
        file.write(whole)
    os.utime(path, (changed + 1, changed + 1))
    web.write("abc")
    page.complaints = [one for one in page.complaints if "status of 404" not in one]


def times(web):
    """Prints how long answers take, in milliseconds."""
    requests = {"as the page asks": EVERYTHING, "greedy, nothing else": {"search": {"beam_size": 1}}}
    for words in [WORD, "hgfedcba"] if web.trained else ["CHARLOTTE", "SERENDIPITY"]:
        for name, more in requests.items():
            request = {"text": words, "model": web.models[0], **more}
            in_browser = web.page.js(f"""import("./backend.js").then(async ({{ backend }}) => {{
                const times = [];
                for (let i = 0; i < 21; i++) {{
                    const begun = performance.now();
                    await backend.explain({json.dumps(request)});
                    times.push(performance.now() - begun);
                }}
                return times;
            }})""")
            in_server = []
            for _ in range(21):
                begun = time.perf_counter()
                web.in_server(request)
                in_server.append(1e3 * (time.perf_counter() - begun))
            for where, found in [("browser", in_browser), ("server", in_server)]:
                found = found[1:]
                print(f"{words}, {name}, {where}: median {statistics.median(found):.1f} ms, least {min(found):.1f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("att", help="the binary")
    parser.add_argument("module", help="the module, as `cargo wasm` leaves it")
    parser.add_argument("--model", action="append", help="NAME=DIR, of letters; two at least")
    parser.add_argument("--pictures", help="a folder for screenshots")
    parser.add_argument("--chromium", default="chromium", help="the browser")
    parser.add_argument("--times", action="store_true", help="measure the time of answers, and nothing else")
    options = parser.parse_args()
    if options.pictures:
        os.makedirs(options.pictures, exist_ok=True)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        models = options.model or train(options.att, folder)
        out = os.path.join(folder, "site")
        subprocess.run([options.att, "export-web", *models, out, "--module", options.module], check=True)
        server, site, browser = Server(options.att, models), Site(out), Browser(options.chromium)
        try:
            web = Web(browser, site, server, models, options.pictures)
            web.trained = not options.model
            web.open()
            if options.times:
                times(web)
                return
            for check in [check_typing, check_answers, check_changes, check_refusals, check_superseded]:
                failed += not run(check, web)
            for check in [check_open, check_damage]:
                failed += not run(check, web, out)
            failed += not run(check_console, web)
            failed += not run(check_hosts, web)
        finally:
            browser.close()
            site.close()
            server.close()
    print("all checks passed" if not failed else f"{failed} checks failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
