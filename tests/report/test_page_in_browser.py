"""The page in a browser, from disk: sorting, filtering, opening a sample, light and dark, no request, no error.

Oracles: the browser itself (what it shows, asks for and complains of), and the numbers on the page, sorted here.
"""

from __future__ import annotations

import os
import re
import shutil

import pytest

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        reason = "no chromium on the path: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Tab:
    """A page in a window of its own, with everything that the browser said and asked for."""

    def __init__(self, browser, file, size=WIDE, scheme="light", hash_="") -> None:
        self.context = browser.new_context(viewport=size, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri() + hash_)

    def column(self, name: str, table: str = "[data-grid=board]") -> list[str]:
        """Texts of a column, from its head's words."""
        heads = self.page.locator(f"{table} thead th")
        at = next(i for i in range(heads.count()) if name in heads.nth(i).inner_text())
        cells = self.page.locator(f"{table} tbody tr:not([hidden])")
        return [cells.nth(i).locator("th, td").nth(at).inner_text().strip() for i in range(cells.count())]

    def focused(self) -> str:
        return self.page.evaluate("document.activeElement.dataset.open || document.activeElement.id || ''")


@pytest.fixture
def tab(browser, paged):
    """A function that opens the page; afterwards nothing may have been said, and nothing asked for but the file."""
    opened: list[Tab] = []

    def make(**how) -> Tab:
        opened.append(Tab(browser, paged.page, **how))
        return opened[-1]

    yield make
    for each in opened:
        assert each.said == []
        assert {url.partition("#")[0] for url in each.asked if not url.startswith("data:")} == {paged.page.as_uri()}
        each.context.close()


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_and_never_scrolls_sideways(tab, size, scheme):
    page = tab(size=size, scheme=scheme).page
    for details in page.locator("details:not(.columns)").all():
        details.evaluate("one => { one.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    assert page.locator("meta[http-equiv=Content-Security-Policy]").count() == 1
    broken = "[...document.images].filter((one) => one.complete && !one.naturalWidth).length"
    assert page.evaluate(broken) == 0
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark))) < 200) == (scheme == "dark")


def test_the_policy_stops_a_request(browser, paged):
    """Control: the same page would tell on a picture from the network, and the browser would not fetch it."""
    tab = Tab(browser, paged.page)
    tab.page.evaluate("document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.1:9/x.png' }))")
    tab.page.wait_for_timeout(200)
    assert any("Content Security Policy" in line for line in tab.said)
    tab.context.close()


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
def test_sorting(tab, how):
    one = tab()
    button = one.page.locator("[data-grid=board] button[data-sort]", has_text="worst case")
    values = [float(text) for text in one.column("worst case")]
    assert len(set(values)) > 1

    def press() -> str:
        if how == "mouse":
            button.click()
        else:
            button.focus()
            one.page.keyboard.press("Enter")
        return one.page.locator("[data-grid=board] th[aria-sort]").get_attribute("aria-sort")

    assert press() == "descending"
    assert [float(text) for text in one.column("worst case")] == sorted(values, reverse=True)
    assert press() == "ascending"
    assert [float(text) for text in one.column("worst case")] == sorted(values)
    one.page.locator("[data-grid=board] button[data-sort]", has_text="model").click()
    assert one.column("model") == sorted(one.column("model"))


def test_missing_values_come_last_in_either_direction(tab):
    one = tab()
    cell = one.page.locator("[data-grid=board] tbody tr").first.locator("td").nth(3)
    cell.evaluate("cell => { delete cell.dataset.v; cell.textContent = '–'; }")
    button = one.page.locator("[data-grid=board] thead th").nth(4).locator("button")
    name = button.inner_text()
    for _ in range(2):
        button.click()
        assert one.column(name)[-1] == "–"


def test_filtering_rows_and_choosing_columns(tab):
    one = tab()
    rows = one.page.locator("[data-grid=board] tbody tr:visible")
    before = rows.count()
    one.page.get_by_label("Filter models").first.fill("ADV")
    assert one.column("model") == ["digits_cnn_adv"]
    assert one.page.locator("[data-grid=board] [data-said]").inner_text() == f"1 of {before} rows"
    one.page.get_by_label("Filter models").first.fill("")
    assert rows.count() == before
    heads = one.page.locator("[data-grid=board] thead th:visible")
    shown = heads.count()
    one.page.locator("[data-grid=board] summary").click()
    one.page.get_by_label("Attack success", exact=True).check()
    assert heads.count() == shown + 4  # a column a condition
    one.page.get_by_label("Attack success", exact=True).uncheck()
    assert heads.count() == shown
    one.page.keyboard.press("Escape")
    assert one.page.locator("[data-grid=board] details[open]").count() == 0


@pytest.mark.parametrize("how", ["mouse", "Enter", "Space"])
def test_opening_a_sample(tab, how):
    one = tab()
    page, key = one.page, "digits_mlp|fgsm@0.15"
    button, panel = page.locator(f"[data-open='{key}']"), page.locator("#panel")
    share = float(button.locator("span").first.inner_text())
    assert not panel.is_visible()
    if how == "mouse":
        button.click()
    else:
        button.focus()
        page.keyboard.press(how)
    assert panel.is_visible()
    assert page.locator("#panel-title").inner_text() == "digits_mlp under fgsm, linf 0.15"
    broken, right = map(int, re.findall(r"\d+", page.locator("#panel-words").inner_text()))
    assert share == pytest.approx(broken / right, abs=6e-4)
    assert set(one.column("outcome", "#panel-table")) == {"broken"}
    assert len(one.column("sample", "#panel-table")) == broken
    assert page.locator("#panel-table .thumb[aria-label^='perturbed input']").count() == broken
    page.get_by_label("broken only").uncheck()
    assert len(one.column("sample", "#panel-table")) == 40
    norms = [float(text) for text in one.column("norm", "#panel-table") if text != "–"]
    assert norms == sorted(norms)
    assert "#sample=" in page.url
    page.keyboard.press("Escape")
    assert not panel.is_visible()
    assert one.focused() == key
    assert "#" not in page.url


def test_an_address_opens_its_sample(tab):
    one = tab(hash_="#sample=digits_cnn_adv%7Cdeepfool")
    assert one.page.locator("#panel").is_visible()
    assert one.page.locator("#panel-title").inner_text().startswith("digits_cnn_adv under deepfool")
    margins = one.column("margin", "#panel-table")
    one.page.locator("#panel-table button", has_text="margin").click()
    assert sorted(margins) == sorted(one.column("margin", "#panel-table")) != margins
    one.page.locator("#panel-close").click()
    assert not one.page.locator("#panel").is_visible()


def test_the_toggle_changes_light_and_dark(tab):
    page = tab().page
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.locator("#theme").click()
    dark = page.evaluate(colour)
    page.locator("#theme").click()
    assert page.evaluate(colour) == light != dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(tab, scheme):
    """WCAG's ratio of every colour of text against what it stands on, from the page's own variables; at least 4.5."""
    page = tab(scheme=scheme).page
    names = ("ink", "soft", "faint", "paper", "card", "wash", "accent", "clean", "worst", "heat", "flag", "flag-wash")
    style = "(name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim()"
    colours = {name: page.evaluate(style, name) for name in names}

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def ratio(a: str, b: str) -> float:
        first, second = sorted((light(colours[a]), light(colours[b])), reverse=True)
        return (first + 0.05) / (second + 0.05)

    pairs = [(text, under) for text in ("ink", "soft", "accent", "clean", "worst") for under in ("paper", "card")]
    pairs += [("faint", "paper"), ("faint", "card"), ("soft", "wash"), ("ink", "heat"), ("flag", "flag-wash")]
    assert {pair: round(ratio(*pair), 2) for pair in pairs if ratio(*pair) < 4.5} == {}
