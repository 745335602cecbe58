"""Runs one service that keys are brought from, with a proxy in front that makes faults, until standard input ends.

usage: servers.py moto|ministack|strict|bao [SECONDS]

One JSON line on standard output says where it listens and who may use it; then each line of standard input is a command, and
its answer one line. With a number of seconds it takes no commands and ends by itself, or by SIGTERM. Nothing listens anywhere
but on loopback.
"""

import base64
import ctypes
import datetime
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

REGION = "eu-central-1"
EXTERNAL_ID = "b7e2f8c4-5d1a-4c3e-9f60-7a8b9c0d1e2f"
ROLE = "KeyturnBYOKRole"
ACTIONS = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey", "kms:DescribeKey"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def wait_for(url, accepts=lambda status: True):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if accepts(answer.status):
                    return
        except urllib.error.HTTPError as error:
            if accepts(error.code):
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"{url} does not answer")


def child(words, environment=None):
    return subprocess.Popen(
        words, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)


def program(name):
    beside = os.path.join(os.path.dirname(sys.executable), name)
    return beside if os.path.exists(beside) else name


def plain(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    return str(value)


class Cloud:
    """A service that speaks AWS's protocols, and boto3 as its administrator."""

    def __init__(self, port, administrator):
        import boto3

        self.port = port
        self.session = boto3.session.Session(
            aws_access_key_id=administrator[0], aws_secret_access_key=administrator[1], region_name=REGION)

    def client(self, service, region=REGION):
        return self.session.client(service, endpoint_url=f"http://127.0.0.1:{self.port}", region_name=region)

    def boto(self, service, call, arguments, region=REGION):
        for name in ("Plaintext", "CiphertextBlob"):
            if name in arguments:
                arguments[name] = base64.b64decode(arguments[name])
        answer = getattr(self.client(service, region), call)(**arguments)
        answer.pop("ResponseMetadata", None)
        return answer


def role_policies(user):
    trust = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": user}, "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}}]}
    # moto checks every request against the resource "*".
    use = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ACTIONS, "Resource": "*"}]}
    return json.dumps(trust), json.dumps(use)


def allow(iam, user, actions):
    iam.create_user(UserName=user)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam.put_user_policy(UserName=user, PolicyName="use", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=user)["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]


def set_up(cloud):
    """Makes an administrator, a user, a role that trusts the user, and a key; says who is who."""
    iam, sts = cloud.client("iam"), cloud.client("sts")
    administrator = allow(iam, "administrator", ["*"])
    user = allow(iam, "keyturn", ["sts:AssumeRole", "sts:GetCallerIdentity"])
    account = sts.get_caller_identity()["Account"]
    trust, use = role_policies(f"arn:aws:iam::{account}:user/keyturn")
    role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName=ROLE, PolicyName="use", PolicyDocument=use)
    key = cloud.client("kms").create_key(KeyUsage="ENCRYPT_DECRYPT", KeySpec="SYMMETRIC_DEFAULT")
    return administrator, {
        "access_key_id": user[0], "secret_access_key": user[1], "role": role, "key": key["KeyMetadata"]["Arn"],
        "external_id": EXTERNAL_ID,
    }


def moto():
    import logging

    from moto.iam import policy_conditions
    from moto.server import ThreadedMotoServer

    # The one thing that is put right in moto: a condition on what a request does not say is not met, as at AWS.
    verify = policy_conditions.TrustCondition.verify_condition
    policy_conditions.TrustCondition.verify_condition = lambda condition, values: (
        len(values) == len(condition.context_keys) and verify(condition, values))

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    cloud = Cloud(port, ("setting", "up"))
    administrator, facts = set_up(cloud)
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"})
    urllib.request.urlopen(request, timeout=30).read()
    facts.update(administrator_id=administrator[0], administrator_secret=administrator[1])
    return Cloud(port, administrator), facts


def ministack():
    port = free_port()
    child([program("ministack")], {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "kms,sts,iam"})
    wait_for(f"http://127.0.0.1:{port}/_ministack/health", lambda status: status == 200)
    cloud = Cloud(port, ("test", "test"))
    _, facts = set_up(cloud)
    return cloud, facts


def strict():
    import strict

    server = strict.start(REGION, ROLE, EXTERNAL_ID, ACTIONS)
    cloud = Cloud(server.port, strict.ADMINISTRATOR)
    cloud.control = server.control
    return cloud, server.facts


class Bao:
    """A real OpenBao, unsealed, with its root token."""

    def __init__(self):
        self.port = free_port()
        self.token = "root-of-the-test"
        self.process = child([
            program("bao"), "server", "-dev", f"-dev-root-token-id={self.token}", "-dev-no-store-token",
            f"-dev-listen-address=127.0.0.1:{self.port}"])
        wait_for(f"http://127.0.0.1:{self.port}/v1/sys/health", lambda status: status == 200)

    def bao(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/{path}", data=data, method=method,
            headers={"X-Vault-Token": self.token, "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return {"status": answer.status, "body": json.loads(text) if text else None}
        except urllib.error.HTTPError as error:
            return {"status": error.code, "body": json.loads(error.read() or b"null")}


def answer(service, proxy, command):
    word = command.pop("do")
    if word == "boto":
        return service.boto(**command)
    if word == "bao":
        return service.bao(**command)
    if word == "control":
        return service.control(command)
    if word == "fault":
        return proxy.add(**command)
    if word == "log":
        return proxy.take_log()
    raise ValueError(f"no such command: {word}")


def main():
    limit = float(sys.argv[2]) if len(sys.argv) > 2 else None
    if limit is None:
        die_with_parent()
    kind = sys.argv[1]
    if kind == "bao":
        service, facts = Bao(), {}
        facts["token"] = service.token
    else:
        service, facts = {"moto": moto, "ministack": ministack, "strict": strict}[kind]()
    from proxy import Proxy

    proxy = Proxy(service.port)
    print(json.dumps({"port": service.port, "proxy": proxy.port, **facts}), flush=True)
    if limit is not None:
        signal.signal(signal.SIGTERM, lambda *_: end(service))
        time.sleep(limit)
        end(service)
    for line in sys.stdin:
        try:
            reply = {"result": answer(service, proxy, json.loads(line))}
        except Exception as error:  # The test says what it expected.
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply, default=plain), flush=True)
    end(service)


def end(service):
    process = getattr(service, "process", None)
    if process:
        process.kill()
    os._exit(0)


main()
