"""A real headless Chromium for the tests of pages, and a page as its reader meets it."""

import shutil
import socket

import pytest

try:
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import Select
except ImportError:
    webdriver = By = Keys = Select = None

MISSING = next((package for here, package in ((webdriver, "python3-selenium"), (shutil.which("chromium"), "chromium"),
                                              (shutil.which("chromedriver"), "chromium-driver")) if not here), None)


def localhost_has_a_name():
    """The driver and the browser find each other by it; a bare chroot has no /etc/hosts."""
    try:
        return bool(socket.getaddrinfo("localhost", None))
    except OSError:
        return False


WHY = (f"needs a browser: apt-get install {MISSING}" if MISSING else
       None if localhost_has_a_name() else "localhost has no name here: echo 127.0.0.1 localhost >> /etc/hosts")
needs_browser = pytest.mark.skipif(WHY is not None, reason=WHY or "")
__all__ = ["By", "Keys", "Page", "Select", "needs_browser", "start"]


def start(*more):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for word in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
                 "disable-dev-shm-usage", "window-size=1400,1000", *more):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)


class Page:
    """The page as its reader meets it."""

    def __init__(self, driver, folder, hash_="", name="report.html"):
        self.driver = driver
        driver.get("about:blank")
        driver.get(f"file://{folder}/{name}{hash_}")
        assert driver.find_element(By.TAG_NAME, "html").get_attribute("data-ready") == "yes", self.complaints()

    def complaints(self):
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]

    def rows(self):
        """Every row shown, in order: (workload, backend) and column -> (text, exact value)."""
        found = self.driver.execute_script("""
            return [...document.querySelectorAll('#cells tbody tr[data-workload]')].map(tr => [tr.dataset.workload,
              tr.dataset.backend, Object.fromEntries([...tr.cells].map(td => [td.dataset.key,
              [td.textContent, td.dataset.value === undefined ? null : Number(td.dataset.value)]]))])""")
        return {(w, b): columns for w, b, columns in found}

    def choose(self, control, value):
        Select(self.driver.find_element(By.ID, control)).select_by_value(value)

    def click(self, css):
        self.driver.find_element(By.CSS_SELECTOR, css).click()

    @property
    def hash(self):
        return self.driver.execute_script("return location.hash")
