import io
import json

import pytest
from PIL import Image

from comining.completion.server import MAX_BODY
from comining.errors import InputError
from tests.completion.served import ask, serving, write_folder

EVIL = "</script><script>alert(1)</script>\n\"'ü"
NAMES = ["a.png", "ä ö/<b> \"'#?%.png", "line\nbreak.jpg", "survey.tif", "link.png"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The images of the data set, and others that nobody may see."""
    folder = tmp_path_factory.mktemp("data") / "images"
    for name in [*NAMES[:-1], "unlisted.png", "../outside.png"]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (600, 300), "gray").save(path)
    (folder / "link.png").symlink_to(folder / "../outside.png")
    return folder


@pytest.fixture(scope="module")
def served(images, tmp_path_factory):
    dataset = {
        "images": [
            {"id": 10 * i, "file_name": name, "width": 600, "height": 300}
            for i, name in enumerate(NAMES)
        ],
        "categories": [{"id": 3, "name": EVIL}],
        "annotations": [
            {"id": 2, "image_id": 0, "category_id": 3, "bbox": [40, 10, 20, 20],
             "score": 0.5, "origin": "mined"}
        ],
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("review") / "done"
    write_folder(folder, dataset, images)
    with serving(folder) as served:
        yield served


@pytest.fixture
def number_of(served):
    """By file name, the number that the page knows an image by."""
    page = ask(served)[2].decode()
    data = page.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    return {x["name"]: int(x["url"].split("/")[1]) for x in json.loads(data)["images"]}


def decision(key, **changes):
    return {
        "key": key, "action": "accept", "image_id": 0, "id": 2, "was": [40, 10, 20, 20],
        "time": "2026-03-01T12:00:00.000Z", **changes,
    }  # fmt: skip


def post(served, record, after=0, **headers):
    body = record if isinstance(record, bytes) else json.dumps(record).encode()
    headers = {
        "Origin": f"http://127.0.0.1:{served.port}", "Content_Type": "application/json", **headers
    }  # fmt: skip
    return ask(served, f"decisions?after={after}", "POST", body, **headers)


def saved(served):
    return [json.loads(line) for line in served.log.path.read_text().splitlines()]


def test_page_is_protected_by_its_headers(served):
    status, headers, page = ask(served)
    assert status == 200
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'; ")
    assert "script-src 'sha256-" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert b"<script>alert" not in page
    assert page.count(b"</script>") == 2


@pytest.mark.parametrize(
    "path", ["/", "/favicon.ico", "/wrong/", "/wrong/decisions", "/wrong/images/0"]
)
def test_without_the_token_nothing_is_given(served, path):
    status, _, body = ask(served, path)
    assert status == 403
    assert b"token" in body
    assert ask(served, f"/{served.token[:-1]}/")[0] == 403
    assert ask(served, f"/{served.token}x/")[0] == 403
    assert ask(served, f"/?token={served.token}")[0] == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1.evil.example:{port}",
        "",
        None,
    ],
)
def test_other_hosts_are_refused(served, host):
    host = None if host is None else host.format(port=served.port)
    assert ask(served, Host=host)[0] == 400


def test_localhost_is_this_server(served):
    assert ask(served, Host=f"localhost:{served.port}")[0] == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", None],
)
def test_other_origins_can_not_write(served, origin):
    origin = None if origin is None else origin.format(port=served.port)
    assert post(served, decision("foreign"), Origin=origin)[0] == 403
    assert "foreign" not in served.log.path.read_text()


def test_other_origins_can_not_read(served):
    assert ask(served, "decisions", Origin="http://evil.example")[0] == 403
    assert ask(served, "images/0", Origin="null")[0] == 403
    for method in ("OPTIONS", "PUT", "DELETE"):
        assert ask(served, "decisions", method)[0] == 403


def test_it_listens_on_the_loopback_interface_alone(served):
    assert served.url == f"http://127.0.0.1:{served.port}/{served.token}/"
    assert len(served.token) >= 32


@pytest.mark.parametrize(
    "path",
    [
        "images/../../outside.png",
        "images/%2e%2e/%2e%2e/outside.png",
        "images/..%2f..%2foutside.png",
        "images/%2fetc%2fpasswd",
        "images//etc/passwd",
        "images/unlisted.png",
        "images/a.png",
        "images/-1",
        "images/5",
        "images/99999999999999999999",
        "images/0/../../../outside.png",
        "thumbnails/5",
        "completed.json",
        "source.json",
        "decisions.jsonl",
        "../decisions",
    ],
)  # fmt: skip
def test_nothing_but_listed_images_is_given(served, path):
    status, _, body = ask(served, path)
    assert status in (403, 404)
    assert b"PNG" not in body
    assert b"root:" not in body


def test_link_that_leads_out_of_the_folder_is_not_followed(served, number_of):
    for place in ("images", "thumbnails"):
        status, _, body = ask(served, f"{place}/{number_of['link.png']}")
        assert status == 404
        assert body == b"it is a link that leads out of the folder of the images"


def test_links_out_of_the_folder_are_told_at_the_start(images, tmp_path, served, caplog):
    completed = json.loads((served.log.path.parent / "completed.json").read_text())
    write_folder(tmp_path / "done", completed, images)
    with serving(tmp_path / "done"):
        assert "link.png is a link to" in caplog.text
        assert "outside.png, out of" in caplog.text


@pytest.mark.parametrize("name", NAMES[:3])
def test_images_are_given_as_they_are(served, images, number_of, name):
    status, headers, body = ask(served, f"images/{number_of[name]}")
    assert status == 200
    assert body == (images / name).read_bytes()
    assert headers["content-type"] == ("image/jpeg" if name.endswith("jpg") else "image/png")


def test_image_that_browsers_do_not_know_is_converted(served, number_of):
    _, headers, body = ask(served, f"images/{number_of['survey.tif']}")
    assert headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(body)) as image:
        assert (image.format, image.size) == ("JPEG", (600, 300))


def test_thumbnails_are_small(served, number_of):
    _, headers, body = ask(served, f"thumbnails/{number_of['a.png']}")
    assert headers["content-type"] == "image/webp"
    with Image.open(io.BytesIO(body)) as image:
        assert image.size == (384, 192)


def test_file_that_is_no_image_is_not_given(served, images, number_of):
    path = images / "a.png"
    content = path.read_bytes()
    path.write_text("<script>alert(1)</script>")
    try:
        assert ask(served, f"images/{number_of['a.png']}")[0] == 404
    finally:
        path.write_bytes(content)


def test_decisions_are_saved_and_told_to_all(served):
    before = len(saved(served))
    first, second = decision("tab-1"), decision("tab-2", action="reject")
    assert json.loads(post(served, first, after=before)[2]) == [first]
    # A tab that does not know the first one yet is told it, in the order that all agree on.
    status, headers, body = post(served, second, after=before)
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert json.loads(body) == [first, second]
    assert saved(served)[before:] == [first, second]
    assert json.loads(ask(served, f"decisions?after={before + 1}")[2]) == [second]
    # Sent again, as after an answer that was lost, it counts once.
    assert json.loads(post(served, second, after=before)[2]) == [first, second]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 60_000, 400),
        (b"1" * 9_000, 400),
        (b"[]", 400),
        (b'{"key":"new"}', 400),
        (json.dumps(decision("new", id=9)).encode(), 400),
        (json.dumps(decision("new", was=[float("nan")] * 4)).encode(), 400),
        (json.dumps(decision("new", image_id=10**400)).encode(), 400),
        (json.dumps(decision("new", note="x" * MAX_BODY)).encode(), 413),
    ],
)
def test_what_is_no_decision_is_refused(served, body, status):
    before = served.log.path.read_bytes()
    assert post(served, body)[0] == status
    assert served.log.path.read_bytes() == before


def test_large_body_of_unknown_length_is_refused(served):
    before = served.log.path.read_bytes()
    chunk = b"x" * 40_000
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for _ in range(3)) + b"0\r\n\r\n"
    status, _, _ = post(served, body, Content_Length=None, Transfer_Encoding="chunked")
    assert status == 413
    assert served.log.path.read_bytes() == before


def test_only_json_is_taken(served):
    assert post(served, decision("form"), Content_Type="text/plain")[0] == 415
    assert ask(served, "decisions?after=x")[0] == 400


def test_full_disk_is_told(served, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(served.log, "_write", full)
    status, _, body = post(served, decision("lost"))
    assert (status, body) == (507, b"can't be written: No space left on device")
    monkeypatch.undo()
    assert "lost" not in [x["key"] for x in json.loads(ask(served, "decisions")[2])]


def test_port_that_is_taken(served, tmp_path, images):
    folder = tmp_path / "done"
    write_folder(
        folder, json.loads((served.log.path.parent / "completed.json").read_text()), images
    )
    with (
        pytest.raises(InputError, match=f"port {served.port} can't be used"),
        serving(folder, port=served.port),
    ):
        pass
