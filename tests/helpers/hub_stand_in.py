"""A server on 127.0.0.1 that imitates the Hugging Face Hub: a model's commit, its files, and refusals.

The answers and their headers are those of huggingface.co, as `huggingface_hub` reads them.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import local_server

TOKEN = "hf_secret"
Files = dict[str, bytes]


@dataclass
class Hub:
    """Models by name, each with its commits, the last of which is `main`, and the paths asked for."""

    models: dict[str, dict[str, Files]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)
    status: int = 200  # any other is the answer to everything
    url: str = ""

    def push(self, name: str, folder: Path | Files) -> str:
        """Add a commit with the files of a folder; return its hash."""
        if isinstance(folder, Path):
            files = [path for path in folder.rglob("*") if path.is_file()]
            folder = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        commits = self.models.setdefault(name, {})
        commit = hashlib.sha1(f"{name} {len(commits)}".encode()).hexdigest()
        commits[commit] = folder
        return commit

    def fetched(self) -> set[str]:
        """The files whose content was asked for."""
        return {
            path.split("/", 5)[5]
            for path in self.seen
            if path.startswith("GET /") and "/resolve/" in path
        }


def serve(hub: Hub) -> ThreadingHTTPServer:
    """A server that answers from `hub`, in a thread; `shutdown` ends it."""
    return local_server.serve(_Handler, hub)


class _Handler(BaseHTTPRequestHandler):
    held: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        hub, path = self.held, unquote(urlsplit(self.path).path)
        hub.seen.append(f"{self.command} {path}")
        if hub.status != 200:
            return self._answer(hub.status, {"error": "Internal Error"})
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/(.+)", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/(resolve)/([^/]+)/(.+)", path)
        if (found := api or file) is None:
            return self._refuse(404, "EntryNotFound", "Not Found")
        name, kind, revision = found[1], found[2], found[3]
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if name not in hub.models or (name in hub.private and not known):
            return self._refuse(404 if known else 401, "RepoNotFound", "Repository not found")
        commits = hub.models[name]
        commit = list(commits)[-1] if revision == "main" else revision
        if commit not in commits:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = commits[commit]
        if kind == "revision":
            siblings = [{"rfilename": one} for one in files]
            return self._answer(200, {"id": name, "sha": commit, "siblings": siblings})
        if kind == "tree":
            listed = [
                {"type": "file", "path": one, "size": len(data), "oid": _etag(data)}
                for one, data in files.items()
            ]
            return self._answer(200, listed)
        if name in hub.gated and not known:
            return self._refuse(401, "GatedRepo", f"Access to model {name} is restricted")
        if file is None or file[4] not in files:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        data = files[file[4]]
        return self._answer(200, data, {"ETag": f'"{_etag(data)}"', "X-Repo-Commit": commit})

    do_HEAD = do_GET

    def _refuse(self, status, code, message):
        self._answer(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message})

    def _answer(self, status, content, headers=()):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
