"""The review page as a user meets it."""

import io

import numpy as np
from PIL import Image
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait


class Page:
    """A review page in the browser."""

    def __init__(self, browser, url):
        self.browser = browser
        browser.get(url)

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def cards(self):
        """The file names of the cards, in the order that they are read in."""
        # In one go: cards come and go while the page scrolls.
        names = "return [...document.querySelectorAll('#grid .name')].map(x => x.innerText.trim())"
        return self.browser.execute_script(names)

    def boxes(self, root="#grid"):
        """The kinds of the boxes that are drawn, in alphabetical order."""
        drawn = self.all(f"{root} g:not(.faint) rect.box")
        return sorted(element.get_attribute("class").split()[1] for element in drawn)

    def count(self):
        return self.find("#count").text

    def press(self, *keys):
        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def fill(self, selector, text):
        """Type into a field as a user does: replace all that it holds."""
        self.find(selector).send_keys(Keys.CONTROL, "a")
        self.find(selector).send_keys(text)

    def focused(self):
        return self.browser.switch_to.active_element

    def is_open(self, dialog):
        return self.find(dialog).get_attribute("open") is not None

    def choose_none(self):
        """Take the choice of a box back in the large view."""
        self.find("#boxes [aria-pressed=true]").click()

    def wait(self, condition):
        waiting = WebDriverWait(self.browser, 20, 0.1, [StaleElementReferenceException])
        waiting.until(lambda _: condition())

    def wait_for_pictures(self):
        """Until every image that is drawn is decoded, so that a screenshot shows it."""
        self.browser.execute_async_script(
            """
            const done = arguments[0];
            const drawn = [...document.querySelectorAll("image[href]")];
            Promise.all(drawn.map((image) => {
              const copy = new Image();
              copy.src = image.getAttribute("href");
              return copy.decode().catch(() => null);
            })).then(() => requestAnimationFrame(() => requestAnimationFrame(done)));
            """
        )

    def pixels(self, selector):
        """What is seen of an SVG: (H, W, 3), and a function from its image's to its pixels."""
        self.wait_for_pictures()
        element = self.find(selector)
        with Image.open(io.BytesIO(element.screenshot_as_png)) as screenshot:
            pixels = np.asarray(screenshot.convert("RGB")).astype(int)
        height, width, _ = pixels.shape
        # Images of 200x100, as large as they fit in, in the middle.
        scale = min(width / 200, height / 100)
        left, top = (width - 200 * scale) / 2, (height - 100 * scale) / 2
        return pixels, lambda x, y: (round(left + x * scale), round(top + y * scale))
