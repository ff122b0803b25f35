"""A review in a browser: what is decided by keys and mouse, and what is saved of it."""

import json

import pytest
from click.testing import CliRunner
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.keys import Keys

from comining.cli import main
from tests.completion.page import Page
from tests.completion.served import serving, write_folder

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=\"document.title='hurt'\"> 'ü'\n&amp;"


def annotation(id_, image_id, bbox, score=None):
    record = {"id": id_, "image_id": image_id, "category_id": 3, "bbox": bbox}
    return record if score is None else {**record, "origin": "mined", "score": score}


@pytest.fixture
def folder(tmp_path):
    """Two images; the first one that is shown has two proposals."""
    images = []
    for image_id, name in ((1, f"{EVIL}.png"), (2, "b.png"), (3, "c.png")):
        path = tmp_path / "images" / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (400, 200), "gray").save(path)
        images.append({"id": image_id, "file_name": name, "width": 400, "height": 200})
    dataset = {
        "images": images,
        "categories": [{"id": 3, "name": EVIL}, {"id": 7, "name": "dog"}],
        "annotations": [
            annotation(1, 1, [20, 20, 60, 60]),
            annotation(2, 1, [120, 20, 60, 60], score=0.2),
            annotation(3, 1, [220, 20, 60, 60], score=0.4),
            annotation(4, 2, [20, 20, 60, 60], score=0.6),
        ],
    }
    write_folder(tmp_path / "done", dataset, tmp_path / "images")
    return tmp_path / "done"


@pytest.fixture
def served(folder):
    with serving(folder) as served:
        yield served


class Review(Page):
    """The review page with its first image in the large view."""

    def __init__(self, browser, url):
        super().__init__(browser, url)
        self.wait(lambda: self.all("#grid button"))

    @classmethod
    def of_first_image(cls, browser, url):
        page = cls(browser, url)
        page.find("#grid li:first-child button").click()
        return page

    def listed(self):
        # In one go: the list is made anew with each decision.
        buttons = "[...document.querySelectorAll('#boxes button')]"
        texts = self.browser.execute_script(f"return {buttons}.map(x => x.innerText.trim())")
        return [text.removeprefix(EVIL_NAME) for text in texts]

    def chosen(self):
        return self.find("#boxes [aria-pressed=true]").text.removeprefix(EVIL_NAME)

    def wait_until_saved(self):
        self.wait(lambda: self.find("#large .saved").get_property("textContent")
                  in ("All decisions are saved", KEPT))  # fmt: skip

    def drag(self, start, end):
        """Drag from a point of the image to another."""
        place = """
            const [x, y] = arguments;
            const at = new DOMPoint(x, y).matrixTransform(picture.getScreenCTM());
            return [Math.round(at.x), Math.round(at.y)];
        """
        corners = [self.browser.execute_script(place, *point) for point in (start, end)]
        actions = ActionChains(self.browser, duration=20)
        mouse = actions.w3c_actions.pointer_action
        mouse.move_to_location(*corners[0])
        mouse.pointer_down()
        mouse.move_to_location(*corners[1])
        mouse.pointer_up()
        actions.perform()


EVIL_NAME = " ".join(EVIL.split())
KEPT = "Kept in this browser: download them for comining accept"


@pytest.fixture
def page(browser, served):
    return Review.of_first_image(browser, served.url)


def saved(folder, *fields):
    """The fields of the decisions in the file, and the actions before them."""
    records = [json.loads(x) for x in (folder / "decisions.jsonl").read_text().splitlines()]
    return [(x["action"], *(x.get(field) for field in fields)) for x in records]


def test_names_are_shown_as_they_are(page):
    assert page.find("#large-name").get_property("textContent") == f"{EVIL}.png"
    assert page.browser.title == "done"
    assert page.all("img") == []


def test_keys_decide_and_lead_to_the_next_proposal(page, folder):
    assert page.listed() == [" 0.20, mined", " 0.40, mined", ", annotated"]
    assert page.chosen() == " 0.20, mined"
    page.press("a")
    assert page.chosen() == " 0.40, mined"
    page.press("r")
    page.wait_until_saved()
    assert saved(folder, "id", "was") == [
        ("accept", 2, [120, 20, 60, 60]), ("reject", 3, [220, 20, 60, 60])
    ]  # fmt: skip
    assert page.listed() == [" 0.20, mined, accepted", " 0.40, mined, rejected", ", annotated"]
    assert page.find("#note").text == (
        "All proposals of this image are decided. n: next image with undecided boxes, "
        "f: image is finished."
    )
    assert page.find("#large .progress-text").text == (
        "2 of 3 proposals decided, 0 of 3 images finished"
    )
    page.press("n")
    assert page.find("#large-name").text == "b.png"


def test_one_key_too_many_changes_no_decision(page, folder):
    page.press("a", "a", "r")
    assert page.all("#boxes [aria-pressed=true]") == []
    assert page.find("#note").text.startswith("No box is chosen: ↓ or a click chooses one")
    page.wait_until_saved()
    assert saved(folder, "id") == [("accept", 2), ("accept", 3)]
    page.press("z")
    assert page.chosen() == " 0.40, mined"


def test_button_leads_to_the_next_undecided_proposal(page):
    page.find("#next-undecided").click()
    assert page.chosen() == " 0.40, mined"
    page.press("a")
    assert page.chosen() == " 0.20, mined"
    page.find("#next-undecided").click()  # no other is left in this image
    assert page.find("#large-name").text == "b.png"


def test_proposals_on_one_object_are_told(browser, folder):
    """Of 60x60 boxes at 220, 20 one moved by 15 has an IoU of 0.6, one moved by 30 of 0.33."""
    path = folder / "completed.json"
    dataset = json.loads(path.read_text())
    dataset["annotations"][2]["bbox"][0] = 250
    dataset["annotations"].append(annotation(5, 1, [265, 20, 60, 60], score=0.5))
    dataset["annotations"][1]["bbox"][0] = 220
    path.write_text(json.dumps(dataset))
    with serving(folder) as served:
        page = Review.of_first_image(browser, served.url)
        told = "overlaps another proposal"
        assert page.listed() == [
            " 0.20, mined", f" 0.40, mined, {told}", f" 0.50, mined, {told}", ", annotated"
        ]  # fmt: skip
        page.press("n", "n", "r")
        assert page.listed()[1:3] == [" 0.40, mined", " 0.50, mined, rejected"]


def test_undo_takes_back_the_last_decision_wherever_it_was(page, folder):
    page.press("r", "a", "n", "a", "z")
    assert page.chosen() == " 0.60, mined"
    page.press("z")
    assert page.find("#large-position").text == "1 of 3"
    assert page.listed() == [" 0.20, mined, rejected", " 0.40, mined", ", annotated"]
    page.press("z", "z")
    page.wait_until_saved()
    assert [x[0] for x in saved(folder)] == ["reject", "accept", "accept", "undo", "undo", "undo"]
    assert page.find("#note").text == "There is nothing to undo."


def test_box_is_drawn_with_the_mouse(page, folder):
    page.press("d", "2")
    page.drag((300, 100), (350.5, 160))
    page.wait_until_saved()
    ((action, bbox, category),) = saved(folder, "bbox", "category_id")
    assert (action, category) == ("add", 7)
    assert bbox == pytest.approx([300, 100, 50.5, 60], abs=1)
    assert page.chosen() == "dog, drawn"
    page.press("r")
    assert page.chosen() == "dog, drawn, rejected"
    page.press("z", "z")
    assert len(page.listed()) == 3


def test_drawing_ends_at_the_edge_of_the_image(page, folder):
    page.press("d")
    page.drag((380, 150), (405, 210))
    page.wait_until_saved()
    ((_, bbox),) = saved(folder, "bbox")
    assert bbox[:2] == pytest.approx([380, 150], abs=1)
    assert (bbox[0] + bbox[2], bbox[1] + bbox[3]) == pytest.approx((400, 200))


def test_escape_ends_drawing_and_then_closes(page, folder):
    page.press("d", Keys.ESCAPE)
    assert page.is_open("#large")
    assert page.find("#draw").get_attribute("aria-pressed") == "false"
    page.press(Keys.ESCAPE)
    assert not page.is_open("#large")
    assert saved(folder) == []


def test_box_is_moved_and_resized_with_the_mouse(page, folder):
    page.drag((150, 50), (160, 70))  # the inside of the chosen one
    page.drag((190, 100), (200, 90))  # its last corner
    page.wait_until_saved()
    (_, moved), (_, resized) = saved(folder, "bbox")
    assert moved == pytest.approx([130, 40, 60, 60], abs=1)
    assert resized == pytest.approx([130, 40, 70, 50], abs=2)
    assert page.chosen() == " 0.20, mined, changed"


def test_click_chooses_a_box(page, folder):
    page.drag((50, 50), (50, 50))
    assert page.chosen() == ", annotated"
    page.drag((350, 150), (350, 150))
    assert page.all("#boxes [aria-pressed=true]") == []
    assert saved(folder) == []


def test_wheel_looks_closer_at_the_place_of_the_mouse(page):
    picture = page.find("#picture")
    origin = ScrollOrigin.from_element(picture)
    ActionChains(page.browser).scroll_from_origin(origin, 0, -100).perform()
    page.wait(lambda: picture.get_dom_attribute("viewBox") != "0 0 400 200")
    x, y, width, height = map(float, picture.get_dom_attribute("viewBox").split())
    assert (width, height) == pytest.approx((320, 160))
    # The middle of the picture is that of the image.
    assert (x + width / 2, y + height / 2) == pytest.approx((200, 100), abs=1)
    page.press("0")
    assert picture.get_dom_attribute("viewBox") == "0 0 400 200"


def test_keys_give_another_category_and_move(page, folder):
    before = page.find("#boxes [aria-pressed=true]").text
    page.press("2")
    page.wait_until_saved()
    # The score was one for the category that was proposed.
    assert "0." in before
    assert "0." not in page.find("#boxes [aria-pressed=true]").text
    assert page.find("#category").get_attribute("value") == "1"
    ActionChains(page.browser).key_down(Keys.SHIFT).send_keys(Keys.ARROW_LEFT).key_up(
        Keys.SHIFT
    ).perform()
    page.wait_until_saved()
    assert saved(folder, "id", "category_id", "bbox") == [
        ("change", 2, 7, None),
        ("change", 2, None, [119, 20, 60, 60]),
    ]


def test_image_is_finished_once_all_its_proposals_are_decided(page, folder):
    page.press("f")
    assert page.find("#note").text.startswith("Not finished: 2 proposals of this image are")
    page.press("a", "a", "f")
    page.wait_until_saved()
    assert page.find("#finish").get_attribute("aria-pressed") == "true"
    assert saved(folder, "image_id")[-1] == ("finish", 1)
    page.press("f")
    page.wait_until_saved()
    assert saved(folder)[-1] == ("undo",)
    page.press(Keys.ESCAPE)
    assert page.find("#grid .state").text == "decided"


def test_tabs_agree(page, browser, served, folder):
    first = browser.current_window_handle
    page.press("a")
    browser.switch_to.new_window("tab")
    second = Review.of_first_image(browser, served.url)
    assert second.listed()[0] == " 0.20, mined, accepted"
    assert second.chosen() == " 0.40, mined"
    second.press("r")
    second.wait_until_saved()
    browser.close()
    browser.switch_to.window(first)
    page.wait(lambda: page.listed()[1] == " 0.40, mined, rejected")
    assert [x[0] for x in saved(folder)] == ["accept", "reject"]


def test_decisions_wait_for_a_server_that_is_away(browser, folder):
    with serving(folder) as served:
        page = Review.of_first_image(browser, served.url)
        port, token = served.port, served.token
    page.press("a", "r")
    page.wait(lambda: "2 decisions not saved. The server does not answer" in
              page.find("#large .saved").text)  # fmt: skip
    page.press(Keys.ESCAPE)
    assert page.find("#download").is_displayed()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("comining.completion.server.secrets.token_urlsafe", lambda _: token)
        with serving(folder, port=port):
            page.wait_until_saved()
            assert not page.find("#download").is_displayed()  # they are in the folder
    assert [x[0] for x in saved(folder)] == ["accept", "reject"]


def test_page_reports_no_error(browser, served):
    browser.get_log("browser")
    page = Review.of_first_image(browser, served.url)
    page.wait_for_pictures()
    page.press("a", "?", Keys.ESCAPE, Keys.ESCAPE)
    page.wait(lambda: page.find("#top .saved").text == "All decisions are saved")
    assert browser.get_log("browser") == []


def test_only_undecided_images_are_shown(page):
    page.press("a", "r", Keys.ESCAPE)
    page.find("#state").send_keys("undecided")
    assert page.cards() == ["b.png"]
    page.find("#state").send_keys(Keys.ARROW_DOWN)
    assert page.cards() == [EVIL_NAME + ".png"]


def test_sample_measures_the_precision(browser, folder):
    with serving(folder, sample=3) as served:
        page = Page(browser, served.url)
        page.wait(lambda: page.is_open("#large"))
        assert page.find("#large-position").text == "1 of 3 in the sample"
        assert page.find("#next").text == "Box →"
        assert not page.find("#draw").is_displayed()
        assert page.find("#note").text.startswith("Accept a box if it is on an object")
        page.press("n")
        assert page.find("#large-position").text == "2 of 3 in the sample"
        assert page.find("#picture g.faint .annotated")
        page.press(Keys.ARROW_LEFT)
        page.press("a", "d", "a", "z", "a", "r")
        assert page.is_open("#result")
        assert page.find("#result-precision").text == "66.7 %"
        assert page.find("#result-counts").text == "2 of the 3 proposals drawn are right."
        # Wilson's interval of 2 of 3, for which z is 1.6449.
        assert "between 25.4 % and 92.2 % of all 3 proposals" in page.find("#result-interval").text
        assert page.find("#result-next").text == ""  # all of them were added
        page.wait(lambda: page.find("#top .saved").text == "All decisions are saved")
    assert sorted(x[0] for x in saved(folder)) == ["accept", "accept", "accept", "reject", "undo"]


def test_page_without_a_server_has_the_decisions_made_before(browser, folder, tmp_path):
    at, image_id = "2026-03-01T12:00:00Z", 1
    proposal = next(
        x for x in json.loads((folder / "completed.json").read_text())["annotations"]
        if x["image_id"] == image_id and x.get("origin") == "mined"
    )  # fmt: skip
    decision = {"key": "k", "action": "accept", "image_id": image_id, "id": proposal["id"],
                "was": proposal["bbox"], "time": at}  # fmt: skip
    (folder / "decisions.jsonl").write_text(f"{json.dumps(decision)}\n")
    html = tmp_path / "review.html"
    assert CliRunner().invoke(main, ["review", str(folder), "--html", str(html)]).exit_code == 0
    page = Review.of_first_image(browser, html.as_uri())
    assert "1 of 3 proposals" in page.find("#large .progress-text").text
    page.press("r")
    assert "2 of 3 proposals" in page.find("#large .progress-text").text
    browser.execute_script("localStorage.clear()")


def test_page_without_a_server_keeps_decisions_in_the_browser(browser, folder, tmp_path):
    html = tmp_path / "review.html"
    run = CliRunner()
    assert run.invoke(main, ["review", str(folder), "--html", str(html)]).exit_code == 0
    page = Review.of_first_image(browser, html.as_uri())
    page.press("a", "r", "d")
    page.drag((300, 100), (350, 160))
    listed = [" 0.20, mined, accepted", " 0.40, mined, rejected", ", annotated", ", drawn"]
    assert page.listed() == listed

    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    second = Review.of_first_image(browser, html.as_uri())
    assert second.listed() == listed
    second.press("n", "a")
    browser.close()
    browser.switch_to.window(first)
    page.wait(lambda: "3 of 3 proposals" in page.find("#large .progress-text").text)

    target = tmp_path / "downloads"
    target.mkdir()
    browser.execute_cdp_cmd(
        "Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(target)}
    )
    page.press(Keys.ESCAPE)
    page.find("#download").click()
    page.wait(lambda: (target / "decisions.jsonl").is_file())
    result = run.invoke(
        main, ["accept", str(folder), "--decisions", str(target / "decisions.jsonl")]
    )
    assert result.exit_code == 0, result.output
    accepted = json.loads((folder / "accepted.json").read_text())
    assert sorted(x["id"] for x in accepted["annotations"]) == [1, 2, 4, 5]
