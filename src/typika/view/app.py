"""The addresses of `typika view`: the page, what changed, patches, and edits."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response

from typika.errors import DataError, TypikaError
from typika.report.html import live_policy
from typika.view.guard import Guard, Pass
from typika.view.requests import row_numbers, submission
from typika.view.session import Answer, Outdated, Session, Unsaved

Base = Annotated[str, Query(max_length=64)]
STATUS: dict[type[Exception], int] = {Outdated: 409, DataError: 422, Unsaved: 503}


def build_app(session: Session, entry: Pass) -> FastAPI:
    """The application; nobody gets further than the door without the token."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    policy = live_policy() + "; frame-ancestors 'none'"

    @app.get("/")
    def page() -> Response:
        answer = HTMLResponse(session.page().encode("utf-8", errors="replace"))
        answer.headers["Content-Security-Policy"] = policy
        answer.set_cookie(entry.cookie, entry.token, path="/", httponly=True, samesite="strict")
        return answer

    @app.get("/changes")
    def changes(base: Base, since: int) -> Answer:
        return session.changes(base, since)

    @app.get("/patches")
    def patches(base: Base, rows: Annotated[str, Query(max_length=6_000)]) -> Answer:
        return session.pictures(base, row_numbers(rows))

    @app.post("/edits")
    async def edits(request: Request) -> Answer:
        wanted = submission(await request.body())
        return await run_in_threadpool(session.submit, wanted)

    app.add_exception_handler(TypikaError, _told)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_middleware(Guard, entry=entry)
    return app


def _told(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return JSONResponse({"error": str(error)}, STATUS.get(type(error), 503))


def _malformed(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return JSONResponse({"error": "the address lacks a part, or has a wrong one"}, 422)
