"""A server of the review page for the browsers of this machine, which saves each decision at once.

It listens on the loopback interface alone, and every address below it starts with a token that
nobody else knows. What another web page makes the browser ask for carries that page's Origin, or,
if its name was made to lead here, another Host: both are refused. Files are asked for by number,
never by name, and only images that the data set lists are given.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from comining.annotations.image_files import refuse_deep_image
from comining.errors import InputError

from .decision_log import DecisionLog
from .gallery import image_bytes, page_policy, render_page, thumbnail_bytes

logger = logging.getLogger(__name__)

#: Longest edge of a thumbnail, in pixels.
THUMBNAIL_SIZE = 384
#: A decision has a few hundred bytes.
MAX_BODY = 65_536
#: So many images are looked at before a review starts.
NUM_LOOKED_AT = 200
#: By Pillow's name, formats that browsers show as they are.
MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
NOT_CACHED = {"Cache-Control": "no-store"}
CACHED = {"Cache-Control": "private, max-age=3600"}


class Guard:
    """Lets only requests through that this server's own page makes or that open it."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app = app
        self.token = token
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # there are no websockets, and nothing to do at the start or the end

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._refusal(Request(scope)) or self.app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.getlist("host") not in [[host] for host in self.hosts]:
            return PlainTextResponse("This server has another name.", 400)
        origin = request.headers.get("origin")
        if origin not in self.origins and (origin is not None or request.method != "GET"):
            return PlainTextResponse("Only the page of this server may ask.", 403)
        token = request.scope["path"].lstrip("/").split("/")[0]
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return PlainTextResponse(
                "The address lacks the right token: open the one that was printed.", 403, HEADERS
            )
        return None


class ReviewServer:
    """The page of one data set, its images and its decisions."""

    def __init__(self, title: str, data: dict[str, Any], images: Path, log: DecisionLog) -> None:
        """Prepare what will be served.

        Args:
            title: of the page.
            data: as `gallery_data` returns it, perhaps with a sample.
            images: folder of the images.
            log: gets the decisions.
        """
        self.log = log
        self.images = images.resolve()
        self.names = [image["name"] for image in data["images"]]
        self._warn_of_links()
        shown = [
            {**image, "url": f"images/{number}", "thumbnail": f"thumbnails/{number}"}
            for number, image in enumerate(data["images"])
        ]
        data = {**data, "images": shown, "thumbnails": None, "server": True}
        self.policy = page_policy("'self' data:", "'self'")
        self.page = render_page(title, data, self.policy)

    def _warn_of_links(self) -> None:
        for name in self.names[:NUM_LOOKED_AT]:
            target = (self.images / name).resolve()
            if not target.is_relative_to(self.images):
                logger.warning(
                    f"{name} is a link to {target}, out of {self.images}: the server does not "
                    "follow such links. Copy the images, or write the page with --html"
                )
                return

    def app(self, token: str, port: int) -> ASGIApp:
        """The application, to be run at a port of the loopback interface."""
        routes = [
            Route(f"/{token}/", self.show_page),
            Route(f"/{token}/decisions", self.tell_decisions, methods=["GET"]),
            Route(f"/{token}/decisions", self.take_decision, methods=["POST"]),
            Route(f"/{token}/images/{{number:int}}", self.show_image),
            Route(f"/{token}/thumbnails/{{number:int}}", self.show_thumbnail),
        ]
        return Guard(Starlette(routes=routes), token, port)

    def show_page(self, request: Request) -> Response:
        headers = {
            **NOT_CACHED,
            "Content-Security-Policy": f"{self.policy}; frame-ancestors 'none'",
        }
        return Response(self.page, headers=headers, media_type="text/html")

    def tell_decisions(self, request: Request) -> Response:
        return self._decisions_after(request)

    async def take_decision(self, request: Request) -> Response:
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            raise HTTPException(415, "a decision must be JSON")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise HTTPException(413, "too large for a decision", {"Connection": "close"})
        try:
            record = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"the decision is not JSON: {error}") from error
        try:
            await run_in_threadpool(self.log.append, record)
        except InputError as error:
            raise HTTPException(400, str(error)) from error
        except OSError as error:
            logger.error(f"a decision can't be written to {self.log.path}: {error.strerror}")
            raise HTTPException(507, f"can't be written: {error.strerror}") from error
        return self._decisions_after(request)

    def _decisions_after(self, request: Request) -> Response:
        """All decisions but so many that the page has already."""
        try:
            number = max(0, int(request.query_params.get("after", "0")))
        except ValueError as error:
            raise HTTPException(400, "'after' must be a number") from error
        return JSONResponse(self.log.after(number), headers=NOT_CACHED)

    def show_image(self, request: Request) -> Response:
        path = self._path(request)
        try:
            refuse_deep_image(path)
            with Image.open(path) as image:
                media_type = MEDIA_TYPES.get(image.format or "")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise HTTPException(404, f"it can't be read as an image: {error}") from error
        if media_type is not None:
            return FileResponse(path, media_type=media_type, headers=CACHED)
        return self._made(image_bytes, path, "image/jpeg")

    def show_thumbnail(self, request: Request) -> Response:
        return self._made(_thumbnail, self._path(request), "image/webp")

    def _made(self, make: Callable[[Path], bytes], path: Path, media_type: str) -> Response:
        try:
            content = make(path)
        except InputError as error:
            raise HTTPException(404, str(error)) from error
        return Response(content, headers=CACHED, media_type=media_type)

    def _path(self, request: Request) -> Path:
        number = request.path_params["number"]
        if number >= len(self.names):
            raise HTTPException(404, "no such image is listed")
        path = (self.images / self.names[number]).resolve()
        if not path.is_relative_to(self.images):
            raise HTTPException(404, "it is a link that leads out of the folder of the images")
        if not path.is_file():
            raise HTTPException(404, "it is not there")
        return path


def _thumbnail(path: Path) -> bytes:
    return thumbnail_bytes(path, THUMBNAIL_SIZE)


class Running:
    """A server that has its address already and answers once it runs."""

    def __init__(self, review: ReviewServer, port: int = 0) -> None:
        """Take a port.

        Args:
            review: what is served.
            port: 0 for any that is free.

        Raises:
            InputError: the port is taken.
        """
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name == "posix":
            # So that the port is free again at once after the server ends.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind(("127.0.0.1", port))
            self.socket.listen()  # who asks before the server runs waits for it
        except OSError as error:
            self.socket.close()
            raise InputError(
                f"the port {port} can't be used ({error.strerror}): choose another --port"
            ) from error
        self.port = self.socket.getsockname()[1]
        token = secrets.token_urlsafe(24)
        self.url = f"http://127.0.0.1:{self.port}/{token}/"
        config = uvicorn.Config(
            review.app(token, self.port),
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=2,
        )
        self.server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until interrupted."""
        self.server.run(sockets=[self.socket])

    def end(self) -> None:
        """Make `run`, in another thread, return soon."""
        self.server.should_exit = True
