"""A proxy that makes faults: it hands requests on as they are, unless a rule says otherwise, and logs them all."""

import email.utils
import json
import re
import socket
import struct
import threading
import time
import urllib.parse


def message(status, body, kind="application/x-amz-json-1.1", extra=""):
    body = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}Connection: close\r\n\r\n"
    return head.encode() + body


def refusal(code, text, status=400, extra=""):
    return message(status, json.dumps({"__type": code, "message": text}), extra=extra)


HTML = "<html><body><h1>503 Service Unavailable</h1></body></html>"

REFUSALS = {
    "throttle": lambda: refusal("ThrottlingException", "Rate exceeded"),
    "throttle-pause": lambda: refusal("ThrottlingException", "Rate exceeded", extra="x-amz-retry-after: 700\r\n"),
    "internal": lambda: refusal("KMSInternalException", "", 500),
    "unavailable": lambda: refusal("KeyUnavailableException", "", 500),
    "dependency": lambda: refusal("DependencyTimeoutException", "", 500),
    "html503": lambda: message(503, HTML, "text/html"),
    "html404": lambda: message(404, HTML, "text/html"),
    "html405": lambda: message(405, HTML, "text/html"),
    "html429": lambda: message(429, HTML, "text/html"),
    "html500": lambda: message(500, HTML, "text/html"),
    "forbidden": lambda: message(403, '{"errors":["permission denied"]}', "application/json"),
    "html200": lambda: message(200, HTML, "text/html"),
    "badjson": lambda: message(200, '{"CiphertextBlob":"AAAA","Plai'),
    "empty": lambda: message(200, "{}"),
    "great": lambda: message(200, b"x" * 3_000_000),
    "redirect": lambda: message(302, "", extra="Location: http://127.0.0.1:1/\r\n"),
    "disabled": lambda: refusal("DisabledException", "arn is disabled."),
    "deletion": lambda: refusal("KMSInvalidStateException", "arn is pending deletion."),
    "denied": lambda: refusal("AccessDeniedException", "not allowed"),
    "namespaced": lambda: refusal("com.amazonaws.kms#DisabledException:http://internal.amazon.com/", "x"),
    "expired": lambda: refusal("ExpiredTokenException", "The security token included in the request is expired"),
    "limit": lambda: refusal("LimitExceededException", "enough"),
    "sealed": lambda: message(503, '{"errors":["Vault is sealed"]}', "application/json"),
    "signature": lambda: refusal("InvalidSignatureException", "The Canonical String should have been x-amz-security-token:SECRET"),
}


class Proxy:
    def __init__(self, upstream):
        self.upstream = upstream
        self.rules = []
        self.log = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def add(self, target, fault, times=1, skip=0, value=None):
        with self.lock:
            self.rules.append({"target": target, "fault": fault, "times": times, "skip": skip, "value": value})

    def take_log(self):
        with self.lock:
            log, self.log, self.rules = self.log, [], []
            return log

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            while self.exchange(connection):
                pass
        except OSError:
            pass
        finally:
            connection.close()

    def exchange(self, connection):
        request = read_message(connection)
        if not request:
            return False
        target = name_of(request)
        rule = self.rule_for(target)
        fault = rule["fault"] if rule else None
        with self.lock:
            self.log.append({"target": target, "time": time.monotonic(), "fault": fault})
        if fault in REFUSALS:
            connection.sendall(REFUSALS[fault]())
        elif fault == "reset-before":
            reset(connection)
        elif fault == "stall":
            time.sleep(rule["value"] or 30)
        elif fault == "skew":
            date = email.utils.formatdate(time.time() + rule["value"], usegmt=True)
            connection.sendall(refusal(
                "InvalidSignatureException", "Signature expired: 20150830T123600Z is now earlier than 20150830T124000Z",
                403, f"Date: {date}\r\n"))
        else:
            answer = self.forward(request)
            if fault == "reset-after":
                reset(connection)
            elif fault == "truncate":
                connection.sendall(answer[:-20])
            elif fault == "wrong-key":
                connection.sendall(changed(answer, lambda body: body.update(
                    KeyId="arn:aws:kms:eu-central-1:999999999999:key/00000000-0000-4000-8000-000000000000")))
            elif fault == "other-region":
                connection.sendall(changed(answer, lambda body: body.update(
                    KeyId=body["KeyId"].replace(":kms:eu-central-1:", ":kms:us-east-1:"))))
            elif fault == "other-plaintext":
                connection.sendall(changed(answer, lambda body: body.update(Plaintext="b3RoZXIgcGxhaW50ZXh0")))
            elif fault == "slow":
                time.sleep(rule["value"])
                connection.sendall(answer)
            else:
                connection.sendall(answer)
        return False

    def rule_for(self, target):
        with self.lock:
            for rule in self.rules:
                if rule["target"] not in (target, "*"):
                    continue
                if rule["skip"] > 0:
                    rule["skip"] -= 1
                    continue
                if rule["times"] > 0:
                    rule["times"] -= 1
                    return rule
        return None

    def forward(self, request):
        with socket.create_connection(("127.0.0.1", self.upstream), timeout=60) as upstream:
            head, body = request.split(b"\r\n\r\n", 1)
            head = re.sub(rb"\r\nconnection:[^\r]*", b"", head, flags=re.I)
            upstream.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
            parts = []
            while part := upstream.recv(65536):
                parts.append(part)
            # The connection ends here, and whoever keeps it for later should know.
            head, separator, rest = b"".join(parts).partition(b"\r\n\r\n")
            head = re.sub(rb"\r\nconnection:[^\r]*", b"", head, flags=re.I)
            return head + b"\r\nConnection: close" + separator + rest


def name_of(request):
    head, body = request.split(b"\r\n\r\n", 1)
    if match := re.search(rb"\r\nx-amz-target: *\w+\.(\w+)", head, flags=re.I):
        return match.group(1).decode()
    if action := urllib.parse.parse_qs(body.decode("latin-1")).get("Action"):
        return action[0]
    return head.split(b" ")[1].decode()


def changed(answer, change):
    head, body = answer.split(b"\r\n\r\n", 1)
    if re.search(rb"transfer-encoding: *chunked", head, flags=re.I):
        raise ValueError("cannot change a chunked answer")
    body = json.loads(body)
    change(body)
    return message(200, json.dumps(body))


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def read_message(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return None
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    match = re.search(rb"\r\ncontent-length: *(\d+)", head, flags=re.I)
    length = int(match.group(1)) if match else 0
    while len(body) < length:
        part = connection.recv(65536)
        if not part:
            return None
        body += part
    return head + b"\r\n\r\n" + body
