"""The emulator's admin API: faults on demand, and the journal. Never a request of the service's own API."""

import contextlib
import json
import os
import ssl
import urllib.request

from connection import ENDPOINT


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{ENDPOINT}/admin/{path}", data=data, method=method)
    context = ssl.create_default_context(cafile=os.environ["CA"]) if os.environ.get("CA") else None
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@contextlib.contextmanager
def rule(kind, **what):
    """A rule that is in force until the block ends; gives a function that reads how it stands."""
    number = ask("POST", kind, what)["id"]

    def stands():
        return next(one for one in ask("GET", "rules")["value"] if one["id"] == number)

    try:
        yield stands
    finally:
        ask("DELETE", f"rules/{number}")


def journal(after=0):
    """Requests and answers after the one with this number."""
    return ask("GET", f"journal?after={after}")["value"]


def last():
    """Number of the newest request in the journal."""
    return max((exchange["sequence"] for exchange in journal()), default=0)
