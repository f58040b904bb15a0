"""The report in a real browser: no error, and the table sorts, filters and opens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.checkpoint import load_state
from tests.faults.small_run import birth
from tests.reporting.examples import write_report
from tests.reporting.pages.test_report_page import finalist, hand_over
from tests.small_runs import evolve

selenium = pytest.importorskip("selenium", reason="needs selenium (pip install -r requirements-dev.txt)")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402

pytestmark = pytest.mark.skipif(
    shutil.which("chromedriver") is None or shutil.which("chromium") is None,
    reason="needs a browser (apt-get install chromium chromium-driver)",
)
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        run = evolve(tmp_path_factory.mktemp("run"), birth(0, "rich", generations=3))
        folder = run.folder
        hand_over(folder, *(finalist(each, 0.81234, 0.82345, 0.84567) for each in run.individuals()[:3]))
        yield write_report(*load_state(folder))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", *QUIET):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    yield driver
    driver.quit()


@pytest.fixture
def browser(running: webdriver.Chrome, page: Path) -> Iterator[webdriver.Chrome]:
    """The page, just opened; at the end nothing may have been complained of."""
    running.get(page.as_uri())
    yield running
    assert running.get_log("browser") == []  # type: ignore[no-untyped-call]


def rows(browser: webdriver.Chrome) -> list[WebElement]:
    return [row for row in browser.find_elements(By.CSS_SELECTOR, "#table tr.row") if row.is_displayed()]


def column(browser: webdriver.Chrome, place: int) -> list[str]:
    return [row.find_elements(By.TAG_NAME, "td")[place].text for row in rows(browser)]


def head(browser: webdriver.Chrome, name: str) -> WebElement:
    buttons = browser.find_elements(By.CSS_SELECTOR, "#table th button")
    return next(button for button in buttons if button.text == name)


def click(browser: webdriver.Chrome, element: WebElement) -> None:
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def test_numbers_sort_by_value_the_highest_first_and_then_the_other_way(browser: webdriver.Chrome) -> None:
    for name, place in (("accuracy", 1), ("parameters", 4)):
        click(browser, head(browser, name))
        values = [float(text.replace(",", "")) for text in column(browser, place) if text != "–"]
        assert len(set(values)) > 2
        assert values == sorted(values, reverse=True)
        click(browser, head(browser, name))
        assert [float(text.replace(",", "")) for text in column(browser, place) if text != "–"] == sorted(values)


def test_names_sort_by_their_numbers(browser: webdriver.Chrome) -> None:
    as_written = column(browser, 0)
    click(browser, head(browser, "accuracy"))
    assert column(browser, 0) != as_written
    click(browser, head(browser, "individual"))
    assert column(browser, 0) == as_written


def test_a_filter_shows_the_rows_that_hold_all_of_its_words(browser: webdriver.Chrome) -> None:
    everyone = len(rows(browser))
    field = browser.find_element(By.ID, "filter")
    field.send_keys("gen2/ elite")
    found = rows(browser)
    assert 0 < len(found) < everyone
    assert all("gen2/" in row.text and "elite" in row.text for row in found)
    assert browser.find_element(By.ID, "count").text == f"{len(found)} of {everyone}"
    field.clear()
    field.send_keys("no such thing")
    assert rows(browser) == []


def test_a_status_can_be_chosen(browser: webdriver.Chrome) -> None:
    choices = [option.text for option in browser.find_elements(By.CSS_SELECTOR, "#status option")]
    assert choices[0] == "all"
    assert "done" in choices


def test_a_row_opens_its_drawing_learning_curve_and_descent_and_closes_again(browser: webdriver.Chrome) -> None:
    row = next(row for row in rows(browser) if row.text.startswith("gen3/") and "crossover" in row.text)
    name = row.find_elements(By.TAG_NAME, "td")[0].text
    click(browser, row)
    (detail,) = browser.find_elements(By.CSS_SELECTOR, "#table tr.detail")
    assert len(detail.find_elements(By.TAG_NAME, "svg")) == 2
    assert all(svg.size["height"] > 20 for svg in detail.find_elements(By.TAG_NAME, "svg"))
    assert detail.find_elements(By.TAG_NAME, "circle")
    links = [link.text.strip() for link in detail.find_elements(By.TAG_NAME, "a")]
    assert links[0] == name
    assert links[-1].startswith("gen1/")
    assert row.get_attribute("aria-expanded") == "true"
    click(browser, row)
    assert not browser.find_elements(By.CSS_SELECTOR, "#table tr.detail")


def test_a_row_opens_by_the_keyboard_and_stays_with_its_details_when_sorted(browser: webdriver.Chrome) -> None:
    row = rows(browser)[2]
    row.send_keys(Keys.ENTER)
    click(browser, head(browser, "loss"))
    following = browser.execute_script("return arguments[0].nextElementSibling.className", row)
    assert following == "detail"


def test_an_ancestor_opens_from_the_descent_even_where_it_was_filtered_out(browser: webdriver.Chrome) -> None:
    browser.find_element(By.ID, "filter").send_keys("gen3/ crossover")
    click(browser, rows(browser)[0])
    ancestor = browser.find_elements(By.CSS_SELECTOR, "tr.detail a")[-1]
    name = ancestor.text.strip()
    click(browser, ancestor)
    opened = [row for row in rows(browser) if row.get_attribute("aria-expanded") == "true"]
    assert name in [row.find_elements(By.TAG_NAME, "td")[0].text for row in opened]


@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_is_wider_than_the_screen(browser: webdriver.Chrome, page: Path, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    click(browser, rows(browser)[0])
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
