"""A server on 127.0.0.1 that imitates GitHub's API: comments, artifacts, errors."""

import io
import json
import re
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import local_server

TOKEN = "ghs_secret"
HOME, FORK = 11, 12  # ids of the repository and of a fork of it


@dataclass
class GitHub:
    """State of the server and the requests that it has seen.

    `answers` are statuses of errors that are used first, in turn, by method.
    """

    comments: list[dict] = field(default_factory=list)
    artifacts: list[dict] = field(default_factory=list)
    files: dict[int, bytes] = field(default_factory=dict)
    answers: dict[str, list] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def add_artifact(
        self, folder: Path | bytes, name: str, branch="main", fork=False, **more
    ) -> int:
        number = len(self.artifacts) + 1
        run = {"id": number, "repository_id": HOME, "head_repository_id": FORK if fork else HOME}
        item = {"id": number, "name": name, "expired": False, "created_at": f"2026-01-{number:02}"}
        self.artifacts.append(item | {"workflow_run": run | {"head_branch": branch}} | more)
        self.files[number] = folder if isinstance(folder, bytes) else zipped(folder)
        return number

    def unpack(self, number: int, folder: Path) -> None:
        """What actions/download-artifact does."""
        zipfile.ZipFile(io.BytesIO(self.files[number])).extractall(folder)

    def add_comment(self, body: str, kind="User", association="NONE") -> int:
        number = 1000 + len(self.comments)
        user = {"login": "x", "type": kind}
        comment = {"id": number, "body": body, "user": user, "author_association": association}
        self.comments.append(comment)
        return number


def zipped(folder: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    return content.getvalue()


def serve(github: GitHub) -> ThreadingHTTPServer:
    """A server that answers from `github`, in a thread; `shutdown` ends it."""
    return local_server.serve(_Handler, github)


class _Handler(BaseHTTPRequestHandler):
    held: GitHub

    def log_message(self, *_):
        pass

    def do_GET(self):
        held, path, method = self.held, urlsplit(self.path), self.command
        held.seen.append((method, self.path))
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        queue = held.answers.get(method)
        first = queue.pop(0) if queue else None
        if isinstance(first, int):
            return self._answer(first, {"message": "no"})
        status, content = self._work(method, path.path, parse_qs(path.query), body)
        return self._answer(status, content)

    do_POST = do_PATCH = do_GET

    def _work(self, method, path, query, body):
        held = self.held
        page, size = (int(query.get(name, ["1"])[0]) for name in ("page", "per_page"))
        part = slice((page - 1) * size, page * size)
        if re.fullmatch(r"/repos/me/mine/issues/7/comments", path):
            if method == "GET":
                return 200, held.comments[part]
            return 201, {"id": held.add_comment(body["body"], "Bot")}
        if found := re.fullmatch(r"/repos/me/mine/issues/comments/(\d+)", path):
            (comment,) = [c for c in held.comments if c["id"] == int(found[1])]
            comment["body"] = body["body"]
            return 200, comment
        if path == "/repos/me/mine/actions/artifacts":
            named = [a for a in held.artifacts if a["name"] == query["name"][0]]
            return 200, {"total_count": len(named), "artifacts": named[part]}
        return 404, {"message": "Not Found"}

    def _answer(self, status, content):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
