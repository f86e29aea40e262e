"""The part of GitHub's program `gh` that action.yml calls, against the server of $GITHUB_API_URL.

gh api [--silent] [--paginate] [--method METHOD] PATH [-F body=@FILE]

It is started some hundred times: `urllib` would take most of its time.
"""

import argparse
import json
import os
import socket
import sys


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("what", choices=["api"])
    parser.add_argument("path")
    parser.add_argument("--method", default="GET")
    parser.add_argument("-F", dest="field")
    for flag in ("--silent", "--paginate"):
        parser.add_argument(flag, action="store_true")
    args = parser.parse_args()
    body = b""
    if args.field:
        name, _, path = args.field.partition("=@")
        with open(path) as file:
            body = json.dumps({name: file.read()}).encode()
    page, more = 1, True
    while more:
        place = f"&page={page}" if args.paginate else ""
        status, content = answer(args.method, args.path + place, body)
        if status >= 300:
            sys.exit(f"gh: HTTP {status}")
        if not args.silent:
            print(json.dumps(content))
        items = content.get("artifacts", []) if isinstance(content, dict) else content
        page, more = page + 1, args.paginate and len(items) == 100


def answer(method: str, path: str, body: bytes) -> tuple[int, object]:
    """Status and content of the server's answer, by HTTP/1.0."""
    host, port = os.environ["GITHUB_API_URL"].removeprefix("http://").split(":")
    head = [f"{method} /{path} HTTP/1.0", f"Authorization: Bearer {os.environ['GH_TOKEN']}"]
    head += [f"Content-Length: {len(body)}", "", ""]
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall("\r\n".join(head).encode() + body)
        found = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    first, _, content = found.partition(b"\r\n\r\n")
    return int(first.split()[1]), json.loads(content)


if __name__ == "__main__":
    main()
