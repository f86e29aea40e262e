"""The part of GitHub's program `gh` that action.yml calls, against the server of $GITHUB_API_URL.

gh api [--silent] [--paginate] [--method METHOD] PATH [-F body=@FILE]
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("what", choices=["api"])
    parser.add_argument("path")
    parser.add_argument("--method", default="GET")
    parser.add_argument("-F", dest="field")
    for flag in ("--silent", "--paginate"):
        parser.add_argument(flag, action="store_true")
    args = parser.parse_args()
    body = None
    if args.field:
        name, _, path = args.field.partition("=@")
        with open(path) as file:
            body = json.dumps({name: file.read()}).encode()
    page, more = 1, True
    while more:
        place = f"&page={page}" if args.paginate else ""
        url = f"{os.environ['GITHUB_API_URL']}/{args.path}{place}"
        headers = {"Authorization": f"Bearer {os.environ['GH_TOKEN']}"}
        request = urllib.request.Request(url, body, headers, method=args.method)
        try:
            with urllib.request.urlopen(request) as answer:
                content = json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"gh: HTTP {error.code}")
        if not args.silent:
            print(json.dumps(content))
        items = content.get("artifacts", []) if isinstance(content, dict) else content
        page, more = page + 1, args.paginate and len(items) == 100


if __name__ == "__main__":
    main()
