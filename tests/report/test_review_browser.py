"""The review page in a real browser: trusted key presses and clicks, real downloads, a real reload."""
import json
import os
import select
import shutil
import signal
import subprocess
import time

import pytest

from dedup.overrides import Overrides, read_overrides
from ssld.report.review import write_review

HOSTILE = 'images/<script>alert("x")&\'.png'
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1000,800")
KEYS = {" ": "Space", "Escape": "Escape", "ArrowRight": "ArrowRight", "ArrowUp": "ArrowUp"}
CODES = {"Escape": 27, " ": 32, "ArrowUp": 38, "ArrowRight": 39}
PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 20           # seconds

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no chromium, chromium-browser or google-chrome on this machine")


class Browser:
    """Headless Chromium, spoken to through two pipes: JSON messages that end with a zero byte."""

    def __init__(self, folder):
        to_read, self.commands = os.pipe()
        self.answers, to_write = os.pipe()

        def as_three_and_four():        # where the browser reads and writes
            ends = os.dup(to_read), os.dup(to_write)
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(
            [PROGRAM, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"], pass_fds=(3, 4),
            preexec_fn=as_three_and_four, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to_read)
        os.close(to_write)
        self.number, self.buffer, self.session = 0, b"", None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.downloads = folder / "downloads"
        self.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def call(self, method, **parameters):
        """The result of a command of the DevTools protocol."""
        self.send(method, **parameters)
        answer = self.wait(lambda answer: answer.get("id") == self.number)
        assert "error" not in answer, answer
        return answer["result"]

    def send(self, method, **parameters):
        """Give a command and do not wait for its end."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")

    def wait(self, is_wanted):
        """The first message from now on that is wanted."""
        until = time.monotonic() + PATIENCE
        while True:
            while b"\0" in self.buffer:
                message, _, self.buffer = self.buffer.partition(b"\0")
                message = json.loads(message)
                if is_wanted(message):
                    return message
            assert select.select([self.answers], [], [], until - time.monotonic())[0], "the browser does not answer"
            self.buffer += os.read(self.answers, 1 << 20)

    def open(self, page):
        self.call("Page.navigate", url=page.as_uri())
        self.wait(lambda answer: answer.get("method") == "Page.loadEventFired")

    def reload(self):
        self.call("Page.reload")
        self.wait(lambda answer: answer.get("method") == "Page.loadEventFired")

    def run(self, script):
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, *keys):
        for key in keys:
            code = CODES.get(key) or ord(key.upper())
            text = {"text": key} if len(key) == 1 else {}
            common = {"key": key, "code": KEYS.get(key, f"Key{key.upper()}"), "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector):
        x, y = self.run("(element => { element.scrollIntoView({block: 'center'}); const box = element.getBoundingClientRect(); "
                        f"return [box.x + box.width / 2, box.y + box.height / 2]; }})(document.querySelector('{selector}'))")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def downloaded(self):
        """The file that was saved."""
        file, until = self.downloads / "overrides.tsv", time.monotonic() + PATIENCE
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.02)
        return file

    # ---- what the page says

    def decisions(self):
        """Path -> the pressed button of every card."""
        return self.run("Object.fromEntries([...document.querySelectorAll('.card')].map(card => "
                        "[JSON.parse(card.dataset.path), card.querySelector('button[aria-pressed=true]').textContent]))")

    def focused(self):
        """The path of the card that has the focus."""
        return self.run("JSON.parse(document.activeElement.closest('.card')?.dataset.path ?? 'null')")

    def shown(self):
        return self.run("[...document.querySelectorAll('.card:not([hidden])')].map(card => JSON.parse(card.dataset.path))")

    def text(self, name):
        return self.run(f"document.getElementById('{name}').textContent")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory, make_compared):
    """The page of a comparison; its cards are hand, kept, HOSTILE, close, 日本 & ü, a."""
    return write_review(make_compared(tmp_path_factory.mktemp("run")))


@pytest.fixture
def browser(chromium, page):
    """The browser with the page open, which remembers nothing."""
    shutil.rmtree(chromium.downloads, ignore_errors=True)
    chromium.open(page)
    yield chromium
    chromium.run("localStorage.clear()")


@pytest.fixture
def overrides_file(tmp_path):
    """Write a file of overrides."""
    def write(text):
        (tmp_path / "given.tsv").write_bytes(text.encode())
        return str(tmp_path / "given.tsv")
    return write


def load(browser, file):
    node = browser.call("DOM.getDocument")["root"]["nodeId"]
    chosen = browser.call("DOM.querySelector", nodeId=node, selector="#load")["nodeId"]
    browser.run("document.getElementById('said').textContent = ''")
    browser.call("DOM.setFileInputFiles", nodeId=chosen, files=[file])
    until = time.monotonic() + PATIENCE
    while not browser.text("said") and time.monotonic() < until:
        time.sleep(0.02)
    return browser.text("said")


def test_keys_move_between_cards_and_flip_them(browser):
    browser.press("j", "j", "ArrowRight")
    assert browser.focused() == HOSTILE
    browser.press("x")
    assert browser.decisions()[HOSTILE] == "keep" and browser.text("count") == "1 change"
    browser.press(" ")
    assert browser.decisions()[HOSTILE] == "remove" and browser.text("count") == "no changes"
    browser.press("k", "ArrowUp")
    assert browser.focused() == "images/hand.png"
    browser.press("k")                                              # there is nothing before the first
    assert browser.focused() == "images/hand.png"


def test_r_removes_and_e_keeps_and_u_takes_back(browser):
    browser.press("j", "j", "j", "j", "r")
    assert browser.decisions()["images/close.png"] == "remove"
    browser.press("e", "r", "u", "u", "u", "u")
    assert browser.decisions()["images/close.png"] == "keep" and browser.text("count") == "no changes"


def test_keys_that_decide_do_nothing_before_a_card_has_the_focus(browser):
    for key in ("x", "e", " "):
        browser.press(key)
        assert browser.text("count") == "no changes"


def test_keys_belong_to_a_field_that_has_the_focus(browser):
    browser.run("document.getElementById('kind').focus()")
    browser.press("c", "s", "j")
    assert browser.focused() is None and not browser.run("document.getElementById('only').checked")
    assert not (browser.downloads / "overrides.tsv").exists()


def test_the_space_bar_on_a_button_presses_it_and_does_not_flip_the_card(browser):
    browser.run("document.querySelectorAll('.card')[2].querySelector('[data-decision=keep]').focus()")
    browser.press(" ", " ")
    assert browser.decisions()[HOSTILE] == "keep" and browser.text("count") == "1 change"


def test_a_click_decides_and_a_second_one_on_the_same_button_changes_nothing(browser):
    for _ in range(2):
        browser.click(".card:nth-child(3) [data-decision=keep]")
    assert browser.decisions()[HOSTILE] == "keep" and browser.text("count") == "1 change"
    assert browser.run("document.querySelector('.card:nth-child(3) .changed').checkVisibility()")
    browser.click("#undo")
    assert browser.text("count") == "no changes" and browser.run("document.getElementById('undo').disabled")


def test_the_saved_file_is_read_back_and_holds_what_differs_from_the_comparison(browser):
    browser.click(".card:nth-child(3) [data-decision=keep]")
    browser.click(".card:nth-child(4) [data-decision=remove]")
    browser.click(".card:nth-child(5) [data-decision=keep]")
    browser.click("#save")
    assert read_overrides(browser.downloaded()) == Overrides(
        frozenset({"images/kept.png", HOSTILE, "images/日本 & ü.png"}), frozenset({"images/hand.png", "images/close.png"}))


def test_an_earlier_decision_that_is_taken_back_is_not_saved(browser):
    browser.press("j", "e", "s")
    assert read_overrides(browser.downloaded()) == Overrides(frozenset({"images/kept.png"}), frozenset())


def test_a_reload_keeps_decisions_and_another_run_does_not_inherit_them(browser, compared):
    browser.open(write_review(compared))
    browser.click(".card:nth-child(3) [data-decision=keep]")
    browser.reload()
    assert browser.decisions()[HOSTILE] == "keep" and browser.text("count") == "1 change"
    assert "restored" in browser.text("said")
    manifest = json.loads((compared / "manifest.json").read_text())
    manifest["parameters"]["min_agreement"] = 0.5
    (compared / "manifest.json").write_text(json.dumps(manifest))
    browser.open(write_review(compared))
    assert browser.decisions()[HOSTILE] == "remove" and browser.text("count") == "no changes"


def test_a_browser_that_keeps_nothing_says_so_and_asks_before_it_leaves(browser, page):
    browser.run("Storage.prototype.setItem = () => { throw new Error('refused'); }")
    forgetful = "document.getElementById('forgetful').checkVisibility()"
    assert not browser.run(forgetful)
    browser.press("j", "x")
    assert browser.decisions()["images/hand.png"] == "keep" and browser.run(forgetful)
    browser.send("Page.reload")
    question = browser.wait(lambda answer: answer.get("method") == "Page.javascriptDialogOpening")["params"]
    assert question["type"] == "beforeunload"
    browser.send("Page.handleJavaScriptDialog", accept=True)
    browser.wait(lambda answer: answer.get("method") == "Page.loadEventFired")


def test_filters_show_one_kind_or_what_was_changed(browser):
    choose = "(kind => { kind.value = '%s'; kind.dispatchEvent(new Event('change')); })(document.getElementById('kind'))"
    browser.run(choose % "hash")
    assert browser.shown() == ["images/日本 & ü.png"]
    browser.run(choose % "*")
    assert browser.shown() == [HOSTILE, "images/日本 & ü.png", "images/a.png"]
    browser.run(choose % "")
    browser.press("j", "x", "c")                        # where the first filter left off
    assert browser.shown() == ["images/日本 & ü.png"]
    browser.press("j")
    assert browser.focused() == "images/日本 & ü.png"
    browser.press("c")
    assert len(browser.shown()) == 6


def test_a_saved_file_is_loaded_and_names_that_are_not_shown_stay_in_it(browser, overrides_file):
    file = overrides_file(f"\ufeffdecision\tpath\r\nkeep\t{HOSTILE}\r\nkeep\timages/elsewhere.png\r\n")
    assert "2 decisions read" in load(browser, file)
    assert browser.decisions()[HOSTILE] == "keep" and browser.text("count") == "2 changes, 1 about pictures not shown"
    browser.press("s")
    assert read_overrides(browser.downloaded()).keep == {HOSTILE, "images/elsewhere.png", "images/kept.png"}


@pytest.mark.parametrize("text, said", [("path\n", "line 1"), ("decision\tpath\nkeep a\n", "line 2"),
                                        ("decision\tpath\nkeep\ta\nmaybe\tb\n", "line 3"),
                                        ("decision\tpath\nkeep\ta\nremove\ta\n", "a has two decisions")])
def test_a_faulty_file_is_refused_with_its_line_and_changes_nothing(browser, overrides_file, text, said):
    assert said in load(browser, overrides_file(text)) and browser.text("count") == "no changes"


def test_what_cannot_be_copied_is_selected_to_be_copied_by_hand(browser):
    browser.run("navigator.clipboard && (navigator.clipboard.writeText = () => Promise.reject(new Error('refused'))); 0")
    browser.click("#copy")
    assert browser.run("document.getElementById('text').checkVisibility()")
    assert browser.run("getSelection().toString()") == "decision\tpath\nremove\timages/hand.png\nkeep\timages/kept.png\n"


def test_single_key_shortcuts_can_be_turned_off(browser):
    browser.click("#shortcuts")
    browser.press("j", "s", "c")
    assert browser.focused() is None and len(browser.shown()) == 6 and not (browser.downloads / "overrides.tsv").exists()


def test_a_question_mark_opens_the_help_and_escape_closes_it(browser):
    browser.press("j", "x", "?")
    assert browser.run("document.getElementById('keys').open")
    browser.press("x", "u", "Escape")
    assert not browser.run("document.getElementById('keys').open") and browser.text("count") == "1 change"


def test_names_are_shown_as_text_and_run_nothing(browser):
    assert browser.run("document.scripts.length") == 1
    assert HOSTILE in browser.run("document.querySelector('.card:nth-child(3) .path').textContent")
    assert HOSTILE in browser.run("document.querySelector('.card:nth-child(3)').getAttribute('aria-label')")


def test_one_card_is_in_the_tab_order_and_its_buttons_with_it(browser):
    browser.press("j", "j")
    stops = "[...document.querySelectorAll('.card, .card button')].filter(e => e.tabIndex === 0).map(e => e.tagName)"
    assert browser.run(stops) == ["LI", "BUTTON", "BUTTON"]
    outline = browser.run("getComputedStyle(document.activeElement).outlineWidth")
    assert browser.focused() == "images/kept.png" and outline == "3px"


def test_pictures_appear_when_they_come_into_sight(browser):
    assert browser.run("Promise.all([...document.querySelectorAll('.card img')].map(async image => { image.loading = 'eager'; "
                       "await image.decode(); return image.naturalWidth; }))") == [64, 64, 648, 648, 648, 648]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_whole_width_in_both_colour_schemes(browser, scheme):
    browser.call("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    try:
        assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        light = "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).every(level => level > 200)"
        assert browser.run(light) is (scheme == "light")
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")
        browser.call("Emulation.setEmulatedMedia", features=[])
