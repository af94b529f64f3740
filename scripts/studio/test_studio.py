#!/usr/bin/env python3
"""Uses the studio in a headless Chromium as people do, and checks what they see.

    apt install chromium
    cargo build -p att-cli
    python3 scripts/studio/test_studio.py target/debug/att --pictures pictures

Python's standard library is enough. Trains two tiny models first (seconds), unless --model names others.
Run with Python 3.11 and Chromium 148.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile

from browser import Browser

EXPERIMENT = """
seed = {seed}
[tokenizer]
src = {{ {source} }}
tgt = {{ kind = "whitespace" }}
[batch]
batch_size = 32
[model]
src_embedding = {{ d_embed = 16, dropout = 0.0 }}
tgt_embedding = {{ d_embed = 16, dropout = 0.0 }}
encoder = {{ {encoder}, dropout = 0.0 }}
decoder = {{ {decoder}, dropout = 0.0 }}
[training]
schedule = {{ kind = "constant", lr = 5e-3 }}
max_steps = {steps}
valid_every = {steps}
metric = "wer"
[search]
beam_size = 4
length_penalty = {{ kind = "power", alpha = 1.0 }}
"""


def train(att, folder):
    """Models that say words backwards: one well, one that reads pieces of them, one without attention, one of several heads."""
    numbers = random.Random(1)
    words = ["".join(numbers.choices("abcdefgh", k=numbers.randint(2, 8))) for _ in range(1500)]
    lines = [f"{word}\t{' '.join(reversed(word))}\n" for word in words]
    pairs, valid = os.path.join(folder, "pairs.tsv"), os.path.join(folder, "valid.tsv")
    with open(pairs, "w") as file:
        file.writelines(lines)
    with open(valid, "w") as file:
        file.writelines(lines[:20])
    models = []
    char, bpe = 'kind = "char"', 'kind = "bpe", vocab_size = 30'
    recurrent, state = 'kind = "recurrent", d_hidden = 24', "recurrent = { d_hidden = 32 }"
    luong, summary = f'kind = "luong", d_attentional = 32, {state}', f'kind = "summary", d_output = 32, {state}'
    transformer = 'kind = "transformer", d_model = 16, layers = 2, n_heads = 2, d_ff = 32'
    for name, source, encoder, decoder, steps in [
        ("good", char, recurrent, luong, 400), ("pieces", bpe, recurrent, luong, 100), ("plain", char, recurrent, summary, 50),
        ("several", char, transformer, transformer, 50),
    ]:
        config = os.path.join(folder, f"{name}.toml")
        with open(config, "w") as file:
            file.write(EXPERIMENT.format(seed=len(models) + 1, source=source, encoder=encoder, decoder=decoder, steps=steps))
        out = os.path.join(folder, name)
        subprocess.run([att, "train", config, "--train", pairs, "--valid", valid, "--out", out, "--progress", "plain"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        models.append(f"{name}={out}")
    return models


class Server:
    """`att serve`, at a port that is free."""

    def __init__(self, att, models, *more):
        self.process = subprocess.Popen([att, "serve", *models, "--port", "0", *more], stderr=subprocess.PIPE, text=True)
        self.address = None
        for line in self.process.stderr:
            found = re.search(r"at (http://[^;]+);", line)
            if found:
                self.address = found[1]
                break
        assert self.address, "the server has not started"

    def close(self):
        self.process.terminate()
        self.process.wait()


# What the page shows, as JavaScript.
PANE = "document.querySelectorAll('.pane')[{0}]"
OUTPUT = "(document.querySelector('.output')?.textContent ?? '')"
IDLE = "[...document.querySelectorAll('.pane')].every((pane) => pane.getAttribute('aria-busy') === 'false')"
ROW = "[...document.querySelectorAll('.map tbody tr')].map((row) => [...row.querySelectorAll('td[data-s]')].map((cell) => Number(cell.style.getPropertyValue('--weight'))))"
WORD = "abcdef"


class Studio:
    """The page, with what all checks need."""

    def __init__(self, browser, address, pictures):
        self.page = browser.page()
        self.address, self.pictures = address, pictures

    def open(self, fragment=""):
        self.page.open("about:blank")
        self.page.open(f"{self.address}/studio/{fragment}")
        self.page.until("document.querySelector('#model').options.length > 0 || !document.querySelector('#token').hidden", "models")

    def ready(self, what):
        self.page.until(f"{IDLE} && {OUTPUT} !== ''", what)

    def write(self, text):
        self.page.js("document.querySelector('#text').value = ''; document.querySelector('#text').focus()")
        self.page.type(text)
        self.page.until(f"new URLSearchParams(location.hash.slice(1)).get('text') === {json.dumps(text)}", "the text is in the address")
        self.ready("a translation")

    def picture(self, name, whole=False):
        if self.pictures:
            self.page.screenshot(os.path.join(self.pictures, name + ".png"), whole)

    def count(self, selector):
        return self.page.js(f"document.querySelectorAll({json.dumps(selector)}).length")

    def text(self, selector):
        return self.page.js(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''")

    def choose(self, what, model):
        """Chooses a model, by its place among the server's; -1 is none."""
        place = model + (what == "beside")
        self.page.js(f"""(() => {{
            const one = document.querySelector("#{what}");
            one.selectedIndex = {place};
            one.dispatchEvent(new Event("change"));
        }})()""")

    def press(self, label):
        """Clicks the button whose text begins so."""
        self.page.js(f"""(() => {{
            document.querySelectorAll("[data-press]").forEach((one) => one.removeAttribute("data-press"));
            const all = [...document.querySelectorAll("button")];
            all.find((one) => one.textContent.startsWith({json.dumps(label)}))?.setAttribute("data-press", "");
        }})()""")
        self.page.click("[data-press]")


def check_typing(studio):
    """Typing shows the output and its heat map."""
    page = studio.page
    assert page.js("!document.querySelector('#empty').hidden"), "an empty page says what it is"
    studio.picture("1-empty")
    studio.write(WORD)
    tokens = studio.text(".output").split()
    assert studio.count(".map tbody tr") == len(tokens) + 1
    assert studio.count(".map thead th[data-s]") == len(WORD) + 1
    for row in page.js(ROW):
        assert abs(sum(row) - 1) < 0.01, row
    assert page.js("document.querySelector('#empty').hidden")
    studio.picture("2-typed")


def check_examples(studio):
    """An example fills the text."""
    studio.open()
    studio.page.click("#examples button")
    studio.ready("the example is translated")
    assert studio.page.js("document.querySelector('#text').value") == "CHARLOTTE"


def check_hover(studio):
    """Pointing at a cell lights its row and column, and says its weight."""
    page = studio.page
    page.hover(".map tbody tr:nth-child(2) td[data-s='1']")
    page.until("document.querySelector('.map tbody tr:nth-child(2)').classList.contains('lit')", "the row is lit")
    assert page.js("document.querySelector('.map thead th[data-s=\"1\"]').classList.contains('lit')")
    said = studio.text(".says")
    assert re.search(r"looks at b: \d\.\d{3}", said), said


def check_click_and_edit(studio):
    """Clicking a cell opens its step; editing it changes what might come, and the output."""
    page = studio.page
    before = studio.text(".output")
    page.click(".map tbody tr:nth-child(2) td[data-s='0']")
    page.until("document.querySelector('.step')", "the step is open")
    assert studio.text(".step h3").startswith("Step 2")
    assert studio.count(".alternatives li") >= 3
    assert "ln" in studio.text(".step .cell")
    alternatives = studio.text(".alternatives")
    studio.picture("3-step")
    studio.press("All on a")
    page.until(f"{IDLE} && ({ROW})[1][0] > 0.99", "the row looks at a alone")
    assert "step 2" in studio.text(".changes"), studio.text(".changes")
    assert studio.text(".output") != before and studio.count(".difference ins") > 0
    assert studio.text(".alternatives") != alternatives, "what might have come has changed"
    assert page.js(f"({ROW})[0][0]") < 0.99, "other rows have not"
    studio.picture("4-edited")
    page.js("document.querySelector('.step input[type=range]').focus()")
    for _ in range(20):
        page.key("ArrowLeft")
    page.until(f"{IDLE} && Math.abs(({ROW})[1][0] - 0.8) < 0.02", "the slider sets the weight")
    assert page.js("document.activeElement.type") == "range", "the slider keeps the focus"
    studio.press("Even")
    page.until(f"{IDLE} && Math.abs(({ROW})[1][0] - 1 / {len(WORD) + 1}) < 0.01", "the row is even")
    studio.press("As the model has it")
    page.until(f"{IDLE} && document.querySelector('.changes').textContent === ''", "nothing is changed")
    assert studio.text(".output") == before


def check_hypotheses(studio):
    """The n-best list takes scores apart, and choosing one shows it."""
    page = studio.page
    rows = page.js("[...document.querySelectorAll('.list tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))")
    assert len(rows) == 4, rows
    number = lambda text: float(text.replace("−", "-"))
    for row in rows:
        score, *terms = [number(text) for text in row[2:-1]]
        assert abs(sum(terms) - score) < 0.003, row
    page.click(".list tbody tr:nth-child(2) button")
    page.until(f"{OUTPUT} === {json.dumps(rows[1][1])}", "the second hypothesis is shown")
    page.click(".list tbody tr:nth-child(1) button")


def check_pin(studio):
    """Saying something else at a step pins it, and the rest follows."""
    page = studio.page
    page.click(".map tbody tr:nth-child(1) th")
    page.until("document.querySelector('.alternatives')", "the step is open")
    other = page.js("[...document.querySelectorAll('.alternatives button:not(.own, :disabled) .token')][0].textContent")
    page.click(".alternatives button:not(.own, :disabled)")
    page.until(f"{IDLE} && {OUTPUT}.startsWith({json.dumps(other)})", "the output begins with it")
    assert studio.count(".map tr.pinned") == 1
    assert studio.count(".difference ins") + studio.count(".difference del") > 0
    studio.picture("5-pinned")
    studio.press("Undo all")
    page.until(f"{IDLE} && !document.querySelector('.map tr.pinned')", "nothing is pinned")


def check_tree(studio):
    """The tree shows what search weighed, and a node can be gone on from."""
    page = studio.page
    page.click(".pane details summary")
    page.until("document.querySelectorAll('.tree .node').length > 5", "the tree is drawn")
    kept = studio.count(".tree .node")
    page.click(".pane details input[type=checkbox]")
    page.until(f"document.querySelectorAll('.tree .node').length > {kept}", "with what was pruned")
    assert studio.count(".tree path.found") > 0
    page.js("document.querySelector('.tree [tabindex=\"0\"]').focus()")
    for key in ["ArrowRight", "ArrowDown", "ArrowUp", "ArrowLeft"]:
        page.key(key)
    assert page.js("document.activeElement.getAttribute('aria-level')") == "1"
    studio.picture("6-tree", True)
    page.key("Enter")
    page.until(f"{IDLE} && document.querySelectorAll('.map tr.pinned').length === 1", "the first token is pinned")
    studio.press("Undo all")
    page.until(f"{IDLE} && !document.querySelector('.map tr.pinned')", "nothing is pinned")
    page.click(".pane details summary")


def check_two_models(studio):
    """Two models side by side; the link to it shows the same."""
    page = studio.page
    studio.choose("beside", 1)
    page.until(f"document.querySelectorAll('.pane .map').length === 2 && {IDLE}", "two maps")
    names = page.js("[...document.querySelectorAll('.pane h2')].map((one) => one.textContent)")
    assert len(set(names)) == 2, names
    left, right = page.js("[...document.querySelectorAll('.pane')].map((one) => one.getBoundingClientRect().left)")
    assert left < right, "they stand side by side"
    studio.picture("7-two-models")
    link = page.js("location.hash")
    studio.open(link)
    page.until(f"document.querySelectorAll('.pane .map').length === 2 && {IDLE}", "the link shows the same")
    studio.choose("beside", -1)
    studio.ready("one model")
    assert studio.count(".pane") == 1


def check_kinds(studio):
    """Pieces are merged to words, and a model without attention shows what it has."""
    page = studio.page
    studio.choose("model", 1)
    studio.ready("the other model")
    if studio.count(".tools input"):
        columns = studio.count(".map thead th[data-s]")
        page.click(".tools input")
        page.until(f"document.querySelectorAll('.map thead th[data-s]').length < {columns}", "words")
        assert studio.count(".map thead th[data-s]") == 2
        page.click(".tools input")
    if page.js("document.querySelector('#model').options.length") > 2:
        studio.choose("model", 2)
        studio.ready("the model without attention")
        assert studio.count(".map thead th[data-s]") == 0 and studio.count(".map tbody tr") > 1
        page.click(".map tbody th")
        page.until("document.querySelectorAll('.alternatives li').length > 1", "its step")
        assert studio.count(".editor") == 0
    studio.choose("model", 0)
    studio.ready("the first model again")


def check_heads(studio):
    """Each head of a layer has a map of its own, and what is edited is what the model reports."""
    page = studio.page
    if page.js("document.querySelector('#model').options.length") < 4:
        return
    studio.choose("model", 3)
    studio.ready("the model of several heads")
    weights = "document.querySelector('.tools select')"
    names = page.js(f"[...{weights}.options].map((one) => one.textContent)")
    assert names == ["as reported"] + [f"layer {layer}, head {head}" for layer in range(2) for head in range(2)], names
    maps = []
    for place in [*range(1, len(names)), 0]:
        page.js(f"{weights}.selectedIndex = {place}; {weights}.dispatchEvent(new Event('change'))")
        assert page.js(f"{weights}.selectedIndex") == place, "what was chosen stays chosen"
        maps.append(page.js(ROW))
        assert all(abs(sum(row) - 1) < 0.01 for row in maps[-1]), maps[-1]
        page.click(".map tbody tr:nth-child(1) td[data-s='0']")
        assert (studio.count(".step .editor") > 0) == (place == 0), "a head can't be edited"
    assert len({json.dumps(one) for one in maps}) == len(maps), "heads differ"
    studio.picture("10-heads")
    studio.choose("model", 0)
    studio.ready("the first model again")


def check_shifts(studio):
    """While an answer comes, nothing that one looks at is moved."""
    page = studio.page
    studio.open()
    studio.write(WORD)
    page.js("""(() => {
        window.shifts = [];
        new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map((one) => one.value)))
            .observe({ type: "layout-shift" });
    })()""")
    page.click(".map tbody tr:nth-child(2) td[data-s='0']")
    page.until("document.querySelector('.step')", "the step is open")
    studio.press("All on a")
    page.until(f"{IDLE} && ({ROW})[1][0] > 0.99", "the row looks at a alone")
    studio.press("Undo all")
    page.until(f"{IDLE} && document.querySelector('.changes').textContent === ''", "nothing is changed")
    page.js("document.querySelector('#text').focus()")
    page.type("gh")
    page.until(f"{IDLE} && document.querySelectorAll('.map thead th[data-s]').length === {len(WORD) + 3}", "two letters more")
    # What follows an input within half a second may move; above a tenth of the window counts as disturbing.
    sum_of = page.js("window.shifts.reduce((sum, one) => sum + one, 0)")
    assert sum_of < 0.1, f"{sum_of:.3f} of the window was moved"


def check_search(studio):
    """What is set for search counts, and what can't be is said in words."""
    page = studio.page
    page.click("#settings summary")
    page.click("#beam_size")
    page.type("2")
    page.until(f"location.hash.includes('beam_size=2') && {IDLE} && document.querySelectorAll('.list tbody tr').length === 2", "a beam of two")
    page.js("document.querySelector('#beam_size').select()")
    page.type("60")
    page.until("!document.querySelector('.pane .trouble').hidden", "an error is shown")
    assert "beam_size: 60 hypotheses are more than 16" in studio.text(".pane .trouble")
    page.js("document.querySelector('#search').reset()")
    page.until(f"document.querySelector('.pane .trouble').hidden && {IDLE} && document.querySelectorAll('.list tbody tr').length === 4", "all is well again")
    page.key("Escape")
    assert page.js("!document.querySelector('#settings').open")


def check_keyboard(studio):
    """All of it without a mouse."""
    page = studio.page
    studio.open()
    page.js("document.querySelector('#text').focus()")
    page.type(WORD)
    studio.ready("a translation")
    for _ in range(10):
        page.key("Tab")
        if page.js("document.activeElement.matches('.map [tabindex]')"):
            break
    assert page.js("document.activeElement.matches('.map tbody th')"), "Tab leads into the map"
    page.key("ArrowRight")
    page.key("ArrowRight")
    page.key("ArrowDown")
    label = page.js("document.activeElement.getAttribute('aria-label')")
    assert re.search(r"looks at b: \d", label), label
    assert page.js("getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus is seen"
    page.key("Enter")
    page.until("document.querySelector('.step')", "Enter opens the step")
    assert page.js("document.activeElement.matches('.map td')"), "the focus stays in the map"
    for _ in range(30):
        page.key("Tab")
        if page.js("document.activeElement.textContent.startsWith('All on')"):
            break
    page.key("Enter")
    page.until(f"{IDLE} && ({ROW})[1][1] > 0.99", "Enter edits")
    assert page.js("document.activeElement.textContent.startsWith('All on')"), "the focus stays where it was"
    nameless = page.unnamed()
    assert not nameless, f"without a name for screen readers: {nameless}"


def check_phone(studio):
    """At the width of a phone nothing is beside the page."""
    page = studio.page
    page.size(390, 844, scale=2, mobile=True)
    studio.open()
    for text in [WORD, "abcdefgh" * 8]:
        studio.write(text)
        page.click(".map tbody tr:nth-child(2) td[data-s='1']")
        page.until("document.querySelector('.step')", "a step")
        width = page.js("document.documentElement.scrollWidth")
        assert width <= 390, f"{width} pixels wide"
        page.js("scrollTo(0, 0)")
        studio.picture(f"8-phone-{len(text)}", True)
    small = page.js("[...document.querySelectorAll('button, select, input, summary')].filter((one) => one.offsetParent && one.getBoundingClientRect().height < 24).map((one) => one.outerHTML)")
    assert not small, f"too small to touch: {small}"


def check_colours(studio):
    """Light and dark, by the system and by hand, with text that can be read."""
    page = studio.page
    studio.open()
    studio.write(WORD)
    page.click(".map tbody tr:nth-child(2) td[data-s='1']")
    ground = "getComputedStyle(document.body).backgroundColor"
    contrast = """(() => {
        const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
        const rgb = (color) => {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = color;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data];
        };
        const light = (color) => rgb(color).slice(0, 3)
            .map((one) => one / 255).map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
            .reduce((sum, one, i) => sum + one * [0.2126, 0.7152, 0.0722][i], 0);
        const behind = (one) => {
            for (; one; one = one.parentElement) {
                const color = getComputedStyle(one).backgroundColor;
                if (rgb(color)[3] > 250) return color;
            }
            return "white";
        };
        let worst = [99, ""];
        for (const one of document.querySelectorAll("body *")) {
            const says = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
            if (!says || !one.offsetParent || one.disabled || one.closest("svg, [aria-busy=true]")) continue;
            const [a, b] = [light(getComputedStyle(one).color), light(behind(one))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < worst[0]) worst = [ratio, `${one.className} ${one.textContent.slice(0, 30)}`];
        }
        return worst;
    })()"""
    grounds = []
    for scheme in ["light", "dark"]:
        page.scheme(scheme)
        grounds.append(page.js(ground))
        worst, where = page.js(contrast)
        assert worst >= 4.5 or (worst >= 3 and re.fullmatch(r"(deep|lit| )*\s*\d+", where)), f"{scheme}: contrast {worst:.2f}: {where}"
        studio.picture(f"9-{scheme}")
    assert grounds[0] != grounds[1], grounds
    page.click("#theme")
    assert page.js(ground) == grounds[0], "light by hand"
    page.click("#theme")
    assert page.js(ground) == grounds[1], "dark by hand"
    page.click("#theme")
    page.scheme("light")


def check_directions(studio):
    """Text that runs from right to left does so."""
    page = studio.page
    studio.write("שלום")
    assert page.js("document.querySelector('#text').matches(':dir(rtl)')")
    assert page.js("document.querySelector('.map thead th span').matches(':dir(rtl)')")


def check_long_text(studio):
    """What is too long is said in words, and the page stays."""
    page = studio.page
    page.js("document.querySelector('#text').value = 'ab'.repeat(300); document.querySelector('#text').dispatchEvent(new Event('input'))")
    page.until("!document.querySelector('.pane .trouble').hidden", "an error")
    assert "600 tokens are more than 512" in studio.text(".pane .trouble")
    studio.write("ab")
    assert page.js("document.querySelector('.pane .trouble').hidden")


def check_markup(studio):
    """Markup in a text is text."""
    studio.write("<b>a</b><img src=x>")
    assert studio.count(".pane b, .pane img") == 0


CHECKS = [
    check_typing, check_hover, check_click_and_edit, check_hypotheses, check_pin, check_tree, check_two_models,
    check_kinds, check_heads, check_shifts, check_search, check_keyboard, check_phone, check_colours, check_directions, check_markup, check_examples,
]


def check_token(browser, att, models, folder, pictures):
    """A server with a token has the page ask for it."""
    path = os.path.join(folder, "token")
    with open(path, "w") as file:
        file.write("a-secret\n")
    server = Server(att, models, "--token-file", path)
    try:
        studio = Studio(browser, server.address, pictures)
        studio.open()
        studio.page.type("wrong")
        studio.page.key("Enter")
        studio.page.until("document.querySelector('#token-text').value === ''", "it is tried")
        studio.page.type("a-secret")
        studio.page.key("Enter")
        studio.page.until("document.querySelector('#model').options.length > 0", "the token opens")
        studio.write(WORD)
        check_hosts(studio)
    finally:
        server.close()


def check_console(studio):
    """Nothing is complained of in the console."""
    # What the server refuses is an error to the browser, and to nobody else.
    bad = [one for one in studio.page.complaints if "status of 400" not in one]
    assert not bad, bad


def check_hosts(studio):
    """Nothing is asked of another host."""
    others = [url for url in studio.page.requests if not url.startswith((studio.address + "/", "about:"))]
    assert not others, f"asked elsewhere: {others}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("att", help="the binary")
    parser.add_argument("--model", action="append", help="NAME=DIR, of letters; two at least")
    parser.add_argument("--pictures", help="a folder for screenshots")
    parser.add_argument("--chromium", default="chromium", help="the browser")
    parser.add_argument("--only", help="checks whose name has this")
    options = parser.parse_args()
    if options.pictures:
        os.makedirs(options.pictures, exist_ok=True)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        models = options.model or train(options.att, folder)
        server = Server(options.att, models)
        browser = Browser(options.chromium)
        try:
            studio = Studio(browser, server.address, options.pictures)
            studio.open()
            for check in CHECKS + [check_long_text]:
                if options.only and check is not check_typing and options.only not in check.__name__:
                    continue
                studio.page.size(1280, 900)
                failed += not run(check, studio)
            failed += not run(check_console, studio)
            failed += not run(check_hosts, studio)
            if not options.only:
                failed += not run(check_token, browser, options.att, models, folder, options.pictures)
        finally:
            browser.close()
            server.close()
    print("all checks passed" if not failed else f"{failed} checks failed")
    sys.exit(1 if failed else 0)


def run(check, *arguments, name=None):
    name = name or check.__doc__.splitlines()[0]
    try:
        check(*arguments)
    except (AssertionError, RuntimeError) as error:
        print(f"FAILED  {name}\n        {error}", flush=True)
        return False
    print(f"ok      {name}", flush=True)
    return True


if __name__ == "__main__":
    main()
