"""The gallery's page in a browser: what a user sees, clicks and types."""

import io
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from selenium.webdriver.common.keys import Keys

from comining.cli import main
from comining.completion import gallery
from tests.completion.page import Page

pytestmark = pytest.mark.browser

GREY = (128, 128, 128)
COLOURS = {
    "annotated": (0, 255, 0),
    "mined": (0, 191, 255),
    "wrong": (255, 165, 0),
    "withheld": (255, 0, 0),
}
EVIL_CLASS = "<b>\"cat\" & 'größe'</b></script>"
EVIL_FILE = "sub dir/<i>ü \"#?%&'.png"


def annotation(id_, image_id, category_id, bbox, score=None):
    record = {"id": id_, "image_id": image_id, "category_id": category_id, "bbox": bbox}
    return record if score is None else {**record, "origin": "mined", "score": score}


@pytest.fixture
def folder(tmp_path):
    """Four grey images with boxes of every kind, and the file ``mined.json``."""
    images = []
    for image_id, name in enumerate(["b.png", EVIL_FILE, "a.png", "empty.png"], start=1):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 100), GREY).save(path)
        images.append({"id": image_id, "file_name": name, "width": 200, "height": 100})
    annotated = [
        annotation(1, 1, 1, [10, 30, 40, 40]),
        annotation(2, 2, 2, [10, 30, 40, 40]),
        annotation(3, 3, 2, [10, 30, 40, 40]),
    ]
    withheld = [annotation(4, 1, 1, [80, 30, 40, 40]), annotation(5, 2, 2, [80, 30, 40, 40])]
    mined = [
        annotation(6, 1, 1, [82, 30, 40, 40], score=0.9),
        annotation(7, 2, 1, [150, 30, 40, 40], score=0.65),
        annotation(8, 3, 2, [12, 30, 40, 40], score=0.75),
    ]
    rest = {
        "images": images,
        "categories": [{"id": 1, "name": EVIL_CLASS}, {"id": 2, "name": "dog"}],
    }
    files = {"full": annotated + withheld, "mined": annotated + mined}
    for name, annotations in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({**rest, "annotations": annotations}))
    return tmp_path


def make_gallery(folder, *options):
    arguments = [folder / "mined.json", f"--images={folder / 'images'}"]
    arguments += [f"--html={folder / 'gallery.html'}", *options]
    result = CliRunner().invoke(main, ["review", *map(str, arguments)])
    assert result.exit_code == 0, result.output


def gallery_page(browser, folder, *options):
    """Make the gallery of ``mined.json`` and open it."""
    make_gallery(folder, *options)
    return Page(browser, (folder / "gallery.html").as_uri())


@pytest.fixture
def page(browser, folder):
    return gallery_page(browser, folder, f"--full={folder / 'full.json'}")


def has_colour(pixels, place, colour, reach=2):
    """Whether a pixel near ``place`` (x, y) has a colour, roughly."""
    x, y = place
    near = pixels[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    return bool((abs(near - colour).max(axis=-1) <= 40).any())


def test_shows_everything_the_doubtful_first(page):
    assert page.count() == "Images shown: 4 of 4. Boxes: 8."
    assert page.cards() == [EVIL_FILE, "a.png", "b.png", "empty.png"]
    assert page.boxes() == ["annotated"] * 3 + ["mined"] * 2 + ["withheld"] * 2 + ["wrong"]
    labels = {kind: page.find(f"label:has(#kind-{kind})").text for kind in COLOURS}
    assert labels == {
        "annotated": "annotated 3",
        "mined": "mined 2",
        "wrong": "wrong 1",
        "withheld": "withheld 2, 1 found",
    }
    scores = [element.text for element in page.all("#grid .score")]
    assert scores == ["from 0.65", "from 0.75", "from 0.90", ""]
    first = page.find("#grid button").get_attribute("aria-label")
    assert first == f"{EVIL_FILE}: 1 annotated, 1 wrong, 1 withheld, lowest score 0.65"


def test_sorts(page):
    page.find("#sort").send_keys("file name")
    assert page.cards() == ["a.png", "b.png", "empty.png", EVIL_FILE]
    page.find("#sort").send_keys(Keys.ARROW_UP)
    assert page.cards() == [EVIL_FILE, "b.png", "a.png", "empty.png"]


def test_filters_by_kind(page):
    for kind in ("annotated", "mined", "withheld"):
        page.find(f"#kind-{kind}").click()
    assert page.cards() == [EVIL_FILE]
    assert page.boxes() == ["wrong"]
    assert page.count() == "Images shown: 1 of 4. Boxes: 1."
    page.find("#kind-wrong").click()
    assert page.cards() == []
    assert page.find("#nothing").is_displayed()


def test_filters_by_class(page):
    assert [option.text for option in page.all("#class option")] == ["all", EVIL_CLASS, "dog"]
    page.find("#class").send_keys("dog")
    assert page.cards() == ["a.png", EVIL_FILE]
    assert page.boxes() == ["annotated", "annotated", "mined", "withheld"]
    assert page.find("#number-withheld").text == "1, 0 found"


def test_filters_by_score(page):
    page.fill("#low", "0.7")
    assert page.cards() == ["a.png", "b.png"]
    assert page.boxes() == ["mined", "mined"]
    page.fill("#high", "0.8")
    assert page.cards() == ["a.png"]
    page.fill("#low", Keys.DELETE)
    assert page.cards() == [EVIL_FILE, "a.png"]


def test_draws_the_others_faintly(page):
    page.fill("#low", "0.7")
    page.find("#context").click()
    assert page.boxes() == ["mined", "mined"]
    # Of the two images that are shown.
    assert len(page.all("#grid g.faint rect.box")) == 3
    page.find("#scroller").click()
    page.press("c")
    assert page.all("#grid g.faint") == []


@pytest.mark.parametrize("link", [[], ["--link-images"]])
def test_boxes_lie_where_they_belong(browser, folder, link):
    page = gallery_page(browser, folder, f"--full={folder / 'full.json'}", *link)
    for selector in ("#grid li:first-child svg.picture", "#picture"):
        if selector == "#picture":
            page.find("#grid li:first-child button").click()
            page.choose_none()
        pixels, place = page.pixels(selector)
        assert has_colour(pixels, place(100, 90), GREY, reach=0)
        assert not has_colour(pixels, place(100, 90), COLOURS["annotated"], reach=8)
        for kind, x0 in {"annotated": 10, "withheld": 80, "wrong": 150}.items():
            for edge in (x0, x0 + 40):
                # A dash may leave a place out.
                along = [has_colour(pixels, place(edge, y), COLOURS[kind]) for y in range(35, 66)]
                assert sum(along) > 8, (selector, kind, edge)
            inside = place(x0 + 20, 50)
            assert has_colour(pixels, inside, GREY, reach=0)
            assert not has_colour(pixels, inside, COLOURS[kind])


def test_found_box_lies_below_the_mined_one(page):
    page.press(Keys.END, Keys.ARROW_LEFT, Keys.ENTER)
    assert page.find("#large-name").text == "b.png"
    page.choose_none()
    pixels, place = page.pixels("#picture")
    assert has_colour(pixels, place(82, 50), COLOURS["mined"])
    assert has_colour(pixels, place(122, 50), COLOURS["mined"])
    listed = [element.text for element in page.all("#boxes button")]
    assert listed == [
        f"{EVIL_CLASS} 0.90, mined",
        f"{EVIL_CLASS}, annotated",
        f"{EVIL_CLASS}, withheld, found",
    ]


def test_enter_opens_the_first_image_at_once(page):
    page.press(Keys.ENTER)
    assert page.find("#large-position").text == "1 of 4"


def test_click_beside_the_cards_leaves_the_chosen_one(page):
    page.press(Keys.ARROW_RIGHT)
    for selector in ("#scroller", "#count"):
        page.find(selector).click()
        assert page.focused().get_attribute("title") == "a.png"
    assert "Click a picture or press Enter to see it large." in page.find("header").text
    page.press(Keys.ENTER)
    assert page.find("#large-position").text == "2 of 4"


def test_keys_lead_through_images_and_boxes(page):
    page.press(Keys.ARROW_RIGHT)
    assert page.focused().get_attribute("title") == "a.png"
    page.press(Keys.ENTER)
    assert page.is_open("#large")
    assert page.find("#large-position").text == "2 of 4"
    page.press(Keys.ARROW_RIGHT)
    assert page.find("#large-name").text == "b.png"
    page.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert page.find("#large-name").text == EVIL_FILE
    assert not page.find("#previous").is_enabled()
    # The first proposal that is to be decided.
    assert page.find("#boxes [aria-pressed=true]").text == f"{EVIL_CLASS} 0.65, wrong"
    page.press(Keys.ARROW_DOWN)
    assert page.find("#boxes [aria-pressed=true]").text == "dog, annotated"
    page.press(Keys.ARROW_UP, "e")
    # The box at 150, 30 of 40x40 with three quarters of its size around.
    assert page.find("#picture").get_dom_attribute("viewBox") == "100 0 100 100"
    page.press("?")
    assert page.is_open("#help")
    page.press(Keys.ESCAPE)
    assert not page.is_open("#help")
    page.press("e")
    assert page.find("#picture").get_dom_attribute("viewBox") == "0 0 200 100"
    page.press(Keys.ARROW_RIGHT, Keys.ESCAPE)
    assert not page.is_open("#large")
    # Back at the card of the image that was seen last.
    assert page.focused().get_attribute("title") == "a.png"


def test_arrows_in_a_field_stay_there(page):
    page.fill("#low", "0.5")
    page.press(Keys.ARROW_UP)
    assert page.find("#low").get_attribute("value") == "0.55"


def test_thumbnail_remains_where_the_image_is_gone(browser, folder):
    page = gallery_page(browser, folder)
    shutil.rmtree(folder / "images")
    page.find("#grid li:first-child button").click()
    page.wait(lambda: "this is its thumbnail" in page.find("#note").text)
    assert f"{EVIL_FILE} is not where it was" in page.find("#note").text
    pixels, place = page.pixels("#picture")
    assert has_colour(pixels, place(100, 90), GREY, reach=0)


def test_note_is_about_the_image_that_is_shown(page):
    """The error of an image that was left already comes late."""
    page.find("#grid li:first-child button").click()
    left = """
        const original = document.querySelector("#picture image:last-of-type");
        document.getElementById("next").click();
        original.dispatchEvent(new Event("error"));
    """
    page.browser.execute_script(left)
    assert page.find("#large-name").text == "a.png"
    assert page.find("#note").text == ""


def test_other_boxes_leave_the_chosen_one_and_the_zoom(page):
    page.fill("#low", "0.6")
    page.find("#grid li:first-child button").click()
    page.press("e")
    chosen = f"{EVIL_CLASS} 0.65, wrong"
    for listed in (1, 3, 1):
        assert len(page.all("#boxes button")) == listed
        assert page.find("#boxes [aria-pressed=true]").text == chosen
        assert page.find("#picture").get_dom_attribute("viewBox") == "100 0 100 100"
        assert len(page.all("#picture g.chosen")) == 1
        page.press("c")
    # One that the filters leave out can't stay.
    page.press(Keys.ARROW_DOWN)
    assert page.find("#boxes [aria-pressed=true]").text != chosen
    page.press("c")
    assert page.all("#boxes [aria-pressed=true]") == []
    assert page.find("#picture").get_dom_attribute("viewBox") == "0 0 200 100"


def test_kinds_that_are_not_known_are_not_offered(browser, folder):
    page = gallery_page(browser, folder)
    kinds = [element.get_attribute("id") for element in page.all("#kinds input")]
    assert kinds == ["kind-annotated", "kind-mined"]
    assert page.boxes() == ["annotated"] * 3 + ["mined"] * 3


def test_page_is_allowed_no_request_and_reports_no_error(browser, folder):
    browser.get_log("browser")
    page = gallery_page(browser, folder)
    page.find("#grid button").click()
    page.wait_for_pictures()
    assert browser.get_log("browser") == []
    blocked = browser.execute_async_script(
        """
        const done = arguments[0];
        document.addEventListener("securitypolicyviolation", (event) => done(event.blockedURI));
        new Image().src = "http://127.0.0.1:9/image.png";
        """
    )
    assert blocked == "http://127.0.0.1:9/image.png"


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_follows_the_colour_scheme(browser, page, scheme, is_dark):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    with Image.open(io.BytesIO(browser.get_screenshot_as_png())) as screenshot:
        corner = screenshot.convert("L").getpixel((3, screenshot.height - 3))
    assert (corner < 60) == is_dark


class TestManyImages:
    """Five thousand thumbnails of usual size, of which only these differ, to save time."""

    NUMBER = 5_000
    TINTS = ((200, 90, 90), (90, 200, 90), (90, 90, 200))

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("many")
        (folder / "images").mkdir()
        rng = np.random.default_rng(0)
        for number, tint in enumerate(self.TINTS):
            blur = rng.integers(-40, 40, (45, 60, 3))
            pixels = np.clip(np.kron(blur, np.ones((8, 8, 1))) + tint, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        for number in range(len(self.TINTS), self.NUMBER):
            (folder / "images" / f"{number}.png").hardlink_to(
                folder / "images" / f"{number % len(self.TINTS)}.png"
            )
        ids = range(self.NUMBER)
        images = [{"id": i, "file_name": f"{i}.png", "width": 480, "height": 360} for i in ids]
        box = [100, 100, 240, 160]
        dataset = {
            "images": images,
            "categories": [{"id": 1, "name": "cat"}],
            # The last image is the most doubtful one.
            "annotations": [annotation(i, i, 1, box, score=1 - i / self.NUMBER) for i in ids],
        }
        (folder / "mined.json").write_text(json.dumps(dataset))
        return folder

    @pytest.fixture(scope="class")
    def made(self, folder):
        """The page, with each different thumbnail made once."""
        by_tint = {
            number: gallery.thumbnail(folder / "images" / f"{number}.png", 256)
            for number in range(len(self.TINTS))
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                gallery, "thumbnail", lambda path, _: by_tint[int(path.stem) % len(self.TINTS)]
            )
            make_gallery(folder)
        return folder

    @pytest.fixture
    def page(self, browser, made):
        return Page(browser, (made / "gallery.html").as_uri())

    def tint(self, page, position):
        """What colour a card's picture has, its box apart."""
        pixels, _ = page.pixels(f"#grid li[aria-posinset='{position}'] svg.picture")
        return np.median(pixels, axis=(0, 1))

    def test_only_cards_near_the_visible_ones_are_built(self, page):
        assert page.count() == "Images shown: 5,000 of 5,000. Boxes: 5,000."
        assert page.cards()[0] == "4999.png"
        assert len(page.cards()) < 60
        assert self.tint(page, 1) == pytest.approx(self.TINTS[4999 % 3], abs=20)
        page.press(Keys.END)
        assert page.focused().get_attribute("title") == "0.png"
        assert page.find("#grid li:last-child").get_attribute("aria-posinset") == "5000"
        assert len(page.cards()) < 60
        page.wait(lambda: all(x.get_attribute("href") for x in page.all("#grid image")))
        assert self.tint(page, 5000) == pytest.approx(self.TINTS[0], abs=20)
        page.press(Keys.HOME)
        assert page.focused().get_attribute("title") == "4999.png"

    def test_scrolling_builds_what_comes_into_view(self, page):
        middle = "const s = document.getElementById('scroller'); s.scrollTop = s.scrollHeight / 2"
        page.browser.execute_script(middle)
        page.wait(lambda: any(name in ("2500.png", "2499.png") for name in page.cards()))
        # The first card stays, for Tab to lead into the grid.
        assert page.cards()[0] == "4999.png"
        page.press(Keys.PAGE_DOWN)
        assert page.focused().is_displayed()

    def test_filters_leave_few(self, page):
        page.fill("#high", "0.0009")
        assert page.cards() == [f"{number}.png" for number in range(4999, 4995, -1)]
