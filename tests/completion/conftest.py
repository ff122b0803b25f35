"""A browser for the tests of the review page, and a completion that has been planned."""

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from comining.completion import report
from comining.completion.complete import complete

from .planned import shrink, write_dataset

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


@pytest.fixture
def planned(tmp_path):
    """A data set, and an output folder with a small plan for it."""
    dataset = write_dataset(tmp_path)
    arguments = tmp_path / "photos", tmp_path / "half.json", tmp_path / "out"
    assert complete(*arguments, device="cpu", dry_run=True) is None
    shrink(tmp_path / "out")
    return arguments, dataset


@pytest.fixture
def without_curves(monkeypatch):
    """A report without the course of the training, whose drawing takes a second."""
    monkeypatch.setattr(report, "_curves", lambda folder: "")
