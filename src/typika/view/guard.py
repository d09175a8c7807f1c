"""Who may ask: the door that every request goes through before anything looks at it.

A page that some other site shows in the same browser can send requests to this machine. So the
host asked for must be ours (a name that was bent to our address is not), the token must be there,
what changes something must come from our own page, and nothing large is read.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MOST_BYTES = 2_000_000  # of a request's body
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What lets a request in.

    token: a secret in the address that is printed, then in a cookie. port: ours, which keeps the
    cookies of two servers apart. names: hosts that we answer to. any_address: whether bare
    addresses are among them, which no name can be bent to.
    """

    token: str
    port: int
    names: frozenset[str] = LOOPBACK
    any_address: bool = False

    @property
    def cookie(self) -> str:
        """Its name."""
        return f"typika_view_{self.port}"

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names us. Its port may be that of a tunnel."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self.names or (self.any_address and _is_address(name))

    def holds(self, request: Request) -> bool:
        """Whether a request has the token: in its cookie, its header, or the page's address."""
        scheme, _, header = request.headers.get("authorization", "").partition(" ")
        given = [request.cookies.get(self.cookie, ""), header if scheme == "Bearer" else ""]
        if request.url.path == "/":
            given.append(request.query_params.get("token", ""))
        wanted = self.token.encode()
        return any(secrets.compare_digest(one.encode(), wanted) for one in given)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Refusal:
    """An answer to what is not let in."""

    status: int
    error: str


def refusal(request: Request, entry: Pass) -> Refusal | None:
    """Why a request is not let in; None where it is."""
    hosts = request.headers.getlist("host")
    if len(hosts) != 1 or not entry.is_ours(hosts[0]):
        return Refusal(403, "this server does not answer to that host name")
    if not entry.holds(request):
        return Refusal(403, "no token: open the address that `typika view` printed")
    # Pages of other ports of this machine are of the same site, and have our cookie sent.
    origin = request.headers.get("sec-fetch-site", "same-origin")
    if request.url.path != "/" and origin != "same-origin":
        return Refusal(403, "only the page of this server may ask for this")
    if request.method in ("GET", "HEAD"):
        return None
    if request.headers.get("origin", "") not in (f"http://{hosts[0]}", f"https://{hosts[0]}"):
        return Refusal(403, "only the page of this server may change something")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return Refusal(415, "expected application/json")
    return None


class Guard:
    """An application behind the door (ASGI)."""

    def __init__(self, app: Any, entry: Pass) -> None:
        self.app = app
        self.entry = entry

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope)
        refused = refusal(request, self.entry)
        if refused is None:
            body = await _whole_body(receive)
            if body is None:
                refused = Refusal(413, f"at most {MOST_BYTES:,} bytes are read")
        sender = _with_headers(send)
        if refused is not None:
            answer = JSONResponse({"error": refused.error}, refused.status)
            await answer(scope, receive, sender)
            return
        await self.app(scope, _once(body or b"", receive), sender)


async def _whole_body(receive: Receive) -> bytes | None:
    """The body of a request; None where it is too large."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""  # who asked has left
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _once(body: bytes, receive: Receive) -> Receive:
    """A receiver that gives the body, and then what else comes."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


def _with_headers(send: Send) -> Send:
    added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return sender
