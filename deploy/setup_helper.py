"""What deploy/setup.sh leaves to Python: JSON, random numbers, and a password's SCRAM verifier.

    python3 deploy/setup_helper.py COMMAND [ARGUMENT...]

Secrets come on stdin and are never arguments; an error says nothing of them. What flyctl prints as
JSON is read whatever the case of its keys, which differs between its commands and versions.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request

SECRET_BYTES = 32
SCRAM_ITERATIONS = 4096  # Postgres's own number
SALT_BYTES = 16
HTTP_SECONDS = 30
ANSWER_BYTES_MAX = 1 << 20
MACHINES_URL = "https://api.machines.dev"
PRIVATE = "fdaa:"  # what addresses of an organisation's network begin with
SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")


def listed():
    """The objects of an array on stdin, their keys in lower case. flyctl says `null` for none, and
    of machines a sentence."""
    text = sys.stdin.read()
    try:
        found = json.loads(text)
    except ValueError:
        if text.startswith("No machines"):
            return []
        sys.exit("what it printed is no JSON")
    return [{name.lower(): value for name, value in one.items()} for one in found or ()]


def has(key, value):
    """Whether one of those on stdin has it."""
    sys.exit(0 if any(one.get(key) == value for one in listed()) else 1)


def some():
    """Whether there is one on stdin."""
    sys.exit(0 if listed() else 1)


def staged():
    """Whether a secret on stdin is not in all machines yet, where flyctl says that."""
    sys.exit(0 if any(one.get("status") in ("Staged", "Partial") for one in listed()) else 1)


def region():
    """Of the machine that says it is the primary, else of the first that runs."""
    machines = [one for one in listed() if one.get("state") == "started"]
    primary = [one for one in machines
               if any(check.get("name") == "role" and check.get("output") == "primary" for check in one.get("checks") or ())]
    for one in primary + machines:
        print(one["region"])
        return
    sys.exit(1)


def addresses(kind):
    """Of those on stdin, the `private` ones, which are of the organisation's network, or the `public` ones."""
    for one in listed():
        text = str(one.get("address") or one.get("ip") or "")
        if text.startswith(PRIVATE) == (kind == "private"):
            print(text)


def is_free(port):
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError:
            sys.exit(1)


def admin(port, path):
    """From the administrator's URL on stdin: its password into a file for libpq; prints the user, for a URL."""
    try:
        url = urllib.parse.urlsplit(sys.stdin.readline().strip())
        user, password = (urllib.parse.unquote(part or "") for part in (url.username, url.password))
    except ValueError:
        sys.exit(1)
    if url.scheme not in ("postgres", "postgresql") or not user or not password or "\n" in user + password:
        sys.exit(1)
    escaped = (text.replace("\\", "\\\\").replace(":", "\\:") for text in (user, password))
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(f"127.0.0.1:{port}:*:{':'.join(escaped)}\n")
    print(urllib.parse.quote(user, safe=""))


def secret():
    print(secrets.token_hex(SECRET_BYTES))


def verifier():
    """Of the password on stdin, by RFC 5803: with it the server checks the password, and nobody learns it."""
    salt = secrets.token_bytes(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", sys.stdin.readline().strip().encode(), salt, SCRAM_ITERATIONS)
    client, server = (hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key"))
    stored = hashlib.sha256(client).digest()
    salt, stored, server = (base64.b64encode(part).decode() for part in (salt, stored, server))
    print(f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{salt}${stored}:{server}")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token goes where it was sent, and nowhere else."""

    def redirect_request(self, *_):
        return None


def slug():
    """The organisation of the token on stdin, by its own name: `personal` is that of each user's."""
    url = os.environ.get("FLYTRAIL_MACHINES_URL", MACHINES_URL) + "/v1/tokens/current"
    request = urllib.request.Request(url, headers={"Authorization": sys.stdin.readline().strip()})
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=HTTP_SECONDS) as answer:
            found = json.loads(answer.read(ANSWER_BYTES_MAX))["tokens"][0]["org_slug"]
    except (urllib.error.URLError, OSError, ValueError, LookupError, TypeError):
        sys.exit(1)
    if not isinstance(found, str) or not SLUG.fullmatch(found):
        sys.exit(1)
    print(found)


COMMANDS = {"has": has, "some": some, "staged": staged, "region": region, "addresses": addresses, "is-free": is_free,
            "admin": admin, "secret": secret, "verifier": verifier, "slug": slug}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
