"""A small ordering system: places one order and waits for its result by webhook.

    pip install standardwebhooks==1.1.0
    DCVD_TOKEN=… DCVD_WEBHOOK_SECRET=whsec_… python3 shop.py --base https://dcv.example.net --listen 127.0.0.1:9000 \
        --order-ref A-1001 --name www.example.co.jp --approver admin@example.co.jp

Nothing but the verifying library is needed. What a shop must do stands in three places, marked 1 to 3.
"""

import argparse
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError


def call(base: str, token: str, method: str, path: str, body: dict | None = None, key: str | None = None) -> dict:
    """One request. The same key may be sent again and again: only the first changes anything, and all get its answer."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    data = None if body is None else json.dumps(body).encode()
    for wait in (1, 2, 5, 10, None):
        request = urllib.request.Request(base + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            problem = json.load(error)
            # 1. Try again what may be tried again, as late as the server asks; tell a person everything else, field by field.
            if error.code not in (409, 429, 503) or "Retry-After" not in error.headers or wait is None:
                fields = "".join(f"\n  {one['pointer']}: {one['detail']} ({one['code']})" for one in problem.get("errors", []))
                raise SystemExit(f"{problem['code']}: {problem.get('detail', problem['title'])}{fields}") from None
            time.sleep(int(error.headers["Retry-After"]))
        except urllib.error.URLError as error:
            if wait is None:
                raise SystemExit(f"{base} cannot be reached: {error.reason}") from None
            time.sleep(wait)
    raise AssertionError("unreachable")


class Inbox:
    """What a shop would keep in its database: which events it has seen, and what became of each name."""

    def __init__(self, order_ref: str) -> None:
        self.order_ref = order_ref
        self.lock = threading.Lock()
        self.seen: set[str] = set()
        self.names: dict[str, str] = {}
        self.done = threading.Event()

    def take(self, event_id: str, event: dict) -> None:
        with self.lock:
            # 2. An event may come more than once, always with the same id: act on the first.
            if event_id in self.seen:
                return
            self.seen.add(event_id)
            data = event["data"]
            if data.get("order_ref") != self.order_ref:
                return  # Another order's; a shop would look its own up by this reference.
            print(f"{data['seq']} {event['type']} {data.get('name', '')}".rstrip(), flush=True)
            if event["type"].startswith("validation."):
                self.names[data["name"]] = event["type"].removeprefix("validation.")
            if event["type"] in ("order.completed", "order.cancelled"):
                self.done.set()


def listen(address: str, secret: str, inbox: Inbox) -> ThreadingHTTPServer:
    verifier = Webhook(secret)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                # 3. Verify the bytes as they came, before reading them. This refuses what is forged, changed or old.
                event = verifier.verify(body, dict(self.headers))
                inbox.take(self.headers["webhook-id"], event)
                status = 204
            except WebhookVerificationError as error:
                print(f"refused: {error}", file=sys.stderr, flush=True)
                status = 400
            # Answer at once; anything but 2xx is sent again.
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    host, port = address.rsplit(":", 1)
    server = ThreadingHTTPServer((host, int(port)), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--base", "--listen", "--order-ref", "--name", "--approver"):
        parser.add_argument(option, required=True)
    parser.add_argument("--patience", type=float, default=26 * 86400, help="seconds to wait for the result")
    arguments = parser.parse_args()
    token, secret = os.environ["DCVD_TOKEN"], os.environ["DCVD_WEBHOOK_SECRET"]

    inbox = Inbox(arguments.order_ref)
    listen(arguments.listen, secret, inbox)
    listed = call(arguments.base, token, "GET", f"/v1/approvers?name={arguments.name}")
    usable = [one["email"] for one in listed["approvers"] if one["usable"]]
    print(f"may approve {arguments.name}: {', '.join(usable)}", flush=True)
    order = {"order_ref": arguments.order_ref, "names": [arguments.name], "approvers": [arguments.approver]}
    placed = call(arguments.base, token, "POST", "/v1/orders", order, key=f"place-{arguments.order_ref}")
    print(f"placed {placed['id']}: {placed['state']} until {placed['expires_at']}", flush=True)
    if not inbox.done.wait(arguments.patience):
        raise SystemExit("no result in time")
    print(f"result: {json.dumps(inbox.names, ensure_ascii=False)}", flush=True)
    sys.exit(0 if set(inbox.names.values()) == {"approved"} else 1)


if __name__ == "__main__":
    main()
