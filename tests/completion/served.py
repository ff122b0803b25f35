"""A completed data set whose review is being served."""

import http.client
import json
import threading
from contextlib import contextmanager
from types import SimpleNamespace

from comining.annotations.ids import numbered
from comining.completion.decision_log import DecisionLog
from comining.completion.gallery_data import gallery_data, read_completed
from comining.completion.review_files import find_review
from comining.completion.sample import with_sample
from comining.completion.server import ReviewServer, Running


def write_folder(folder, dataset, images):
    """Write what ``comining complete`` does, as far as a review reads it."""
    folder.mkdir()
    given = folder.with_name(f"{folder.name}_input.json")
    annotated = [x for x in dataset["annotations"] if x.get("origin") != "mined"]
    proposals = [x for x in dataset["annotations"] if x.get("origin") == "mined"]
    source = {"images": str(images), "annotations": str(given), "format": "coco"}
    for name, content in {
        "source": {**source, "listed_only": True},
        "completed": dataset,
        "annotations": {**dataset, "annotations": annotated},
        "proposals": proposals,
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    given.write_text(json.dumps({**dataset, "annotations": annotated}))


@contextmanager
def serving(folder, sample=None, port=0):
    """Serve a review in a thread; gives its ``url``, ``port``, ``token`` and ``log``."""
    review = find_review(folder, None)
    dataset = read_completed(review.completed, review.images)
    data = gallery_data(dataset, review.completed)
    if sample:
        data = with_sample(data, sample, seed=0)
    log = DecisionLog(
        review.decisions, {**dataset, "annotations": numbered(dataset["annotations"])}
    )
    running = Running(ReviewServer(review.title, data, review.images, log), port)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        token = running.url.rstrip("/").split("/")[-1]
        yield SimpleNamespace(url=running.url, port=running.port, token=token, log=log)
    finally:
        running.end()
        thread.join()
        log.close()


def ask(served, path="", method="GET", body=None, **headers):
    """Ask a server as no browser does, with any path and headers; gives status, headers, body.

    A path that starts with "/" is taken as it is; others follow the token.
    """
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    headers = {"Host": f"127.0.0.1:{served.port}", **headers}
    path = path if path.startswith("/") else f"/{served.token}/{path}"
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        if value is not None:
            connection.putheader(name.replace("_", "-"), value)
    if body is not None and "Content_Length" not in headers:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    with connection.getresponse() as response:
        answer = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return answer
