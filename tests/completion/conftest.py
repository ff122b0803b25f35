"""A browser for the tests of the review page."""

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
    "--force-device-scale-factor=1",
]


@pytest.fixture(scope="package")
def browser(tmp_path_factory):
    paths = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if None in paths.values():
        pytest.fail(
            "chromium and chromedriver are needed: install them (Debian: apt-get install chromium "
            "chromium-driver) or leave these tests out: pytest -m 'not browser'"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = paths["chromium"]
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, Service(paths["chromedriver"]))
    yield driver
    driver.quit()
