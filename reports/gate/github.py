"""The part of GitHub's REST API that the gate needs: keep a comment up to date, read an artifact.

Every answer is limited in size and time, and a request that failed temporarily is repeated. The
token is sent to the API only: never to an address that the API redirects to, and never in a
message.
"""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from diffae.system.within import within
from reports.records.reading import short

ATTEMPTS, PAUSE = 3, 2.0  # attempts of a request, and seconds before the second one
TIMEOUT, LONGEST = 20.0, 300.0  # seconds without a byte, and in total
LARGEST_ANSWER, LARGEST_FILE = 16 << 20, 512 << 20  # bytes
PER_PAGE, MOST_PAGES = 100, 30
REDIRECTS = (301, 302, 303, 307, 308)
WRITERS = ("OWNER", "MEMBER", "COLLABORATOR")
CHUNK = 1 << 16

Item = dict[str, Any]


class RequestFailed(Exception):
    """A request that failed, described in one line.

    `status` is that of HTTP, 0 if there was no complete answer.
    """

    def __init__(self, reason: str, status: int = 0):
        super().__init__(reason)
        self.status = status

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (0, 429) or self.status >= 500


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Do not follow redirects: urllib would send the token along."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Api:
    """A client of the API at `url`, without a final slash, as in $GITHUB_API_URL."""

    url: str
    token: str = ""

    def ask(
        self, method: str, path: str, body: Item | None = None, attempts: int = ATTEMPTS
    ) -> Any:
        """Send a request and return the JSON of the answer. Raises RequestFailed."""
        content = self._attempts(lambda: self._open(method, self.url + path, body), attempts)
        try:
            return json.loads(content)
        except ValueError:
            raise RequestFailed(f"{method} {_safe(path)}: the answer is not JSON", 500) from None

    def pages(self, path: str, key: str = "") -> Iterator[Item]:
        """Every item of a paginated list; under `key` of each page if one is given."""
        joint = "&" if "?" in path else "?"
        for page in range(1, MOST_PAGES + 1):
            answer = self.ask("GET", f"{path}{joint}per_page={PER_PAGE}&page={page}")
            items = answer.get(key) if key and isinstance(answer, dict) else answer
            if not isinstance(items, list):
                raise RequestFailed(f"GET {_safe(path)}: not a list", 500)
            yield from (item for item in items if isinstance(item, dict))
            if len(items) < PER_PAGE:
                return

    def download(self, path: str) -> bytes:
        """Download the file that the API redirects to, without sending the token. Raises RequestFailed."""
        return self._attempts(lambda: self._follow(self.url + path), ATTEMPTS)

    def _attempts(self, request: Callable[[], bytes], attempts: int) -> bytes:
        for attempt in range(attempts):
            try:
                return request()
            except RequestFailed as error:
                if not error.is_temporary or attempt == attempts - 1:
                    raise
            time.sleep(PAUSE * 2**attempt)
        raise AssertionError("unreachable")

    def _follow(self, url: str) -> bytes:
        for _ in range(3):
            try:
                ours = url.startswith(self.url + "/")
                return self._open("GET", url, None, with_token=ours, largest=LARGEST_FILE)
            except _Redirected as redirected:
                url = urllib.parse.urljoin(url, str(redirected))
            if urllib.parse.urlsplit(url).scheme not in ("https", self.url.split(":")[0]):
                break
        raise RequestFailed("the artifact is not where the API redirects to", 400)

    def _open(
        self,
        method: str,
        url: str,
        body: Item | None,
        *,
        with_token: bool = True,
        largest: int = LARGEST_ANSWER,
    ) -> bytes:
        headers = {"User-Agent": "diffae-bench", "X-GitHub-Api-Version": "2022-11-28"}
        headers["Accept"] = "application/vnd.github+json"
        if with_token and self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        called = f"{method} {_safe(url.split('?')[0].removeprefix(self.url))}"
        try:
            request = urllib.request.Request(url, data, headers, method=method)
            return within(LONGEST, lambda: self._get(request, largest, called))
        except TimeoutError as error:
            limit = str(error) or f"not all of it in {LONGEST:g} s"
            raise RequestFailed(f"{called}: {limit}") from None
        except urllib.error.HTTPError as error:
            where = error.headers.get("Location", "")
            if error.code in REDIRECTS and where:
                raise _Redirected(where) from None
            raise RequestFailed(f"{called}: HTTP {error.code}", error.code) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise RequestFailed(f"{called}: {short(reason or type(error).__name__)}") from None

    def _get(self, request: urllib.request.Request, largest: int, called: str) -> bytes:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT) as answer:
            return self._read(answer, largest, called)

    def _read(self, answer: http.client.HTTPResponse, largest: int, called: str) -> bytes:
        """Read all of an answer."""
        content = bytearray()
        while chunk := answer.read1(CHUNK):
            content += chunk
            if len(content) > largest:
                raise RequestFailed(f"{called}: more than {largest:,} bytes", 413)
        if answer.length:
            raise RequestFailed(f"{called}: the answer broke off")
        return bytes(content)


class _Redirected(Exception):
    """The API answered with a redirect to this address."""


def _safe(path: str) -> str:
    """The path of an address without the query, which may hold a signature."""
    return short(path.split("?")[0])


# ----------------------------------------------------------------------------------------------
# One comment


def keep_comment(api: Api, repository: str, number: int, marker: str, body: str) -> str:
    """Create or update the comment of a pull request that begins with `marker`.

    Returns "updated" or "created".

    A comment by a user without write access to the repository is left alone, whatever it begins
    with. Raises RequestFailed.
    """
    comments = f"/repos/{repository}/issues/{number}/comments"
    for attempt in range(ATTEMPTS):
        if (found := find_comment(api, repository, number, marker)) is not None:
            api.ask("PATCH", f"/repos/{repository}/issues/comments/{found}", {"body": body})
            return "updated"
        try:
            api.ask("POST", comments, {"body": body}, attempts=1)
            return "created"
        except RequestFailed as error:
            if not error.is_temporary or attempt == ATTEMPTS - 1:
                raise
        time.sleep(PAUSE * 2**attempt)  # before the next attempt look for it: it may exist already
    raise AssertionError("unreachable")


def find_comment(api: Api, repository: str, number: int, marker: str) -> int | None:
    """The id of the comment that `keep_comment` would update. Raises RequestFailed."""
    for comment in api.pages(f"/repos/{repository}/issues/{number}/comments"):
        text, by = comment.get("body"), comment.get("user")
        is_bot = isinstance(by, dict) and by.get("type") == "Bot"
        ours = is_bot or comment.get("author_association") in WRITERS
        if isinstance(text, str) and text.startswith(marker) and ours:
            return int(comment["id"])
    return None


# ----------------------------------------------------------------------------------------------
# The artifact of a branch


def newest_artifact(api: Api, repository: str, name: str, branch: str) -> int | None:
    """The id of the newest artifact `name` that a run of `branch` of this repository produced.

    None if there is none.

    Artifacts of pull requests from forks have the same names and are listed too: they are skipped.
    Raises RequestFailed.
    """
    listed = f"/repos/{repository}/actions/artifacts?name={urllib.parse.quote(name, safe='')}"
    found = [a for a in api.pages(listed, "artifacts") if _is_of(a, name, branch)]
    return max(found, key=lambda a: (str(a.get("created_at")), a["id"]))["id"] if found else None


def _is_of(artifact: Mapping[str, Any], name: str, branch: str) -> bool:
    run = artifact.get("workflow_run")
    if not isinstance(run, dict) or artifact.get("expired") or type(artifact.get("id")) is not int:
        return False
    home = run.get("repository_id")
    ours = home is not None and run.get("head_repository_id") == home
    return ours and artifact.get("name") == name and run.get("head_branch") == branch
