"""A KMS and an STS that are as strict as AWS says it is where other doubles are laxer.

Signatures and their time, tokens and their end, trust and permission policies with resources, exact names of roles, states,
kinds and uses of keys, the key that wrapped, and contexts are all checked by code that shares nothing with Keyturn's.
"""

import base64
import email.utils
import fnmatch
import hashlib
import hmac
import http.server
import json
import os
import struct
import threading
import time
import urllib.parse
import uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ACCOUNT = "111122223333"
# Where keys of several regions are as well.
REPLICA_REGION = "us-east-1"
ADMINISTRATOR = ("AKIAADMINISTRATOR", "secret-of-the-administrator")
USER = ("AKIAKEYTURNUSER00000", "secret-of-the-user-keyturn")


class Refused(Exception):
    def __init__(self, code, message="", status=400):
        self.code, self.message, self.status = code, message, status


class Key:
    def __init__(self, region, spec, usage, manager="CUSTOMER", multi_region=False, primary=None):
        self.number = primary.number if primary else uuid.uuid4()
        self.multi_region, self.primary, self.replicas = multi_region, primary, []
        self.id = f"mrk-{self.number.hex}" if multi_region else str(self.number)
        self.region, self.arn = region, f"arn:aws:kms:{region}:{ACCOUNT}:key/{self.id}"
        self.spec, self.usage, self.manager, self.state = spec, usage, manager, "Enabled"
        self.deletion = self.valid_to = None
        # Replicas have their key's material, and a state of their own.
        self.materials = primary.materials if primary else []
        if not primary:
            self.turn()

    def replica(self, region):
        replica = Key(region, self.spec, self.usage, self.manager, True, self)
        self.replicas.append(replica)
        return replica

    def turn(self):
        if self.primary:
            raise Refused("UnsupportedOperationException", f"{self.arn} is a replica key")
        if len(self.materials) > 25:
            raise Refused("LimitExceededException", "more than 25 rotations on demand")
        self.materials.append((hashlib.sha256(os.urandom(16)).hexdigest(), AESGCM(os.urandom(32))))

    def metadata(self):
        fields = {
            "KeyId": self.id, "Arn": self.arn, "AWSAccountId": ACCOUNT, "Enabled": self.state == "Enabled",
            "KeyState": self.state, "KeyUsage": self.usage, "KeySpec": self.spec, "Origin": "AWS_KMS",
            "KeyManager": self.manager, "CreationDate": 1.5, "MultiRegion": self.multi_region,
        }
        if self.multi_region:
            primary = self.primary or self
            fields["MultiRegionConfiguration"] = {
                "MultiRegionKeyType": "REPLICA" if self.primary else "PRIMARY", "PrimaryKey": primary.place,
                "ReplicaKeys": [replica.place for replica in primary.replicas],
            }
        if self.spec == "SYMMETRIC_DEFAULT":
            fields.update(EncryptionAlgorithms=["SYMMETRIC_DEFAULT"], CurrentKeyMaterialId=self.materials[-1][0])
        if self.deletion:
            fields["DeletionDate"] = self.deletion
        if self.valid_to:
            fields.update(Origin="EXTERNAL", ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=self.valid_to)
        return fields

    @property
    def place(self):
        return {"Arn": self.arn, "Region": self.region}


class World:
    def __init__(self, region, role, external_id, actions):
        self.region, self.role, self.external_id = region, role, external_id
        self.regions = (region, REPLICA_REGION)
        self.lock = threading.Lock()
        self.offset = 0.0
        self.quota = None
        self.window = (0, 0)
        self.session_seconds = None
        # What nobody may keep: what sessions sign with, and what lies in clear in requests and answers.
        self.secrets = set()
        user = f"arn:aws:iam::{ACCOUNT}:user/keyturn"
        self.keys = {}
        key = self.make(Key(region, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"))
        self.role_policy = [{"Action": actions, "Resource": [key.arn]}]
        self.trusted = user
        self.asks_external_id = True
        self.identities = {
            ADMINISTRATOR[0]: self.identity(ADMINISTRATOR[1], f"arn:aws:iam::{ACCOUNT}:user/administrator", [
                [{"Action": ["*"], "Resource": ["*"]}]]),
            USER[0]: self.identity(USER[1], user, [[{"Action": ["sts:*"], "Resource": ["*"]}]]),
        }
        self.facts = {
            "access_key_id": USER[0], "secret_access_key": USER[1], "key": key.arn, "external_id": external_id,
            "role": f"arn:aws:iam::{ACCOUNT}:role/{role}",
        }

    @staticmethod
    def identity(secret, arn, policies, token=None, end=None, role=None):
        return {"secret": secret, "arn": arn, "policies": policies, "token": token, "end": end, "role": role}

    def make(self, key):
        self.keys[key.region, key.id] = key
        return key

    def now(self):
        return time.time() + self.offset

    def control(self, command):
        with self.lock:
            for name, value in command.items():
                if name == "tell":
                    return [base64.b64encode(secret).decode() for secret in sorted(self.secrets)]
                if name == "valid_to":
                    for key in self.keys.values():
                        key.valid_to = value
                    continue
                if name not in ("offset", "quota", "role", "external_id", "asks_external_id", "role_policy", "session_seconds", "trusted"):
                    raise ValueError(name)
                setattr(self, name, value)
            return {}


def hashed(text):
    return hashlib.sha256(text if isinstance(text, bytes) else text.encode()).hexdigest()


def chained(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def authenticate(world, service, headers, body):
    """Who signed for which region; raises where the signature, its time or its token is not as it must be."""
    scheme, _, rest = headers.get("Authorization", "").partition(" ")
    if scheme != "AWS4-HMAC-SHA256":
        raise Refused("MissingAuthenticationTokenException", "Request is missing Authentication Token")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    access, day, region, named, end = parts["Credential"].split("/")
    identity = world.identities.get(access)
    if identity is None:
        raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    if region not in world.regions or (named, end) != (service, "aws4_request"):
        raise Refused("InvalidSignatureException", f"Credential should be scoped to {world.regions}/{service}", 403)
    signed = parts["SignedHeaders"].split(";")
    needed = {"host", "x-amz-date"} | {n.lower() for n in headers if n.lower() in ("x-amz-target", "x-amz-security-token")}
    if signed != sorted(signed) or not needed <= set(signed):
        raise Refused("IncompleteSignatureException", "headers are not signed")
    canonical = "\n".join([
        "POST", "/", "", *(f"{n}:{' '.join(headers[n].split())}" for n in signed), "", ";".join(signed), hashed(body)])
    stamp = headers["X-Amz-Date"]
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, f"{day}/{region}/{named}/aws4_request", hashed(canonical)])
    key = ("AWS4" + identity["secret"]).encode()
    for part in (day, region, named, "aws4_request", text):
        key = chained(key, part)
    if not hmac.compare_digest(key.hex(), parts["Signature"]) or not stamp.startswith(day):
        raise Refused("InvalidSignatureException", f"The Canonical String should have been {canonical}", 403)
    made = time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.timezone
    if made < world.now() - 300:
        raise Refused("InvalidSignatureException", f"Signature expired: {stamp} is now earlier than (- 5 min.)", 403)
    if made > world.now() + 300:
        raise Refused("InvalidSignatureException", f"Signature not yet current: {stamp} is still later than (+ 5 min.)", 403)
    if headers.get("X-Amz-Security-Token") != identity["token"]:
        raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    if identity["role"] not in (None, world.role):
        # A session ends with its role.
        raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    if identity["end"] and world.now() > identity["end"]:
        raise Refused("ExpiredTokenException", "The security token included in the request is expired")
    return identity, region


def allows(identity, action, resource):
    # What a role may changes for its sessions as well.
    return all(
        any(
            any(fnmatch.fnmatchcase(action, pattern) for pattern in statement["Action"])
            and any(fnmatch.fnmatchcase(resource, pattern) for pattern in statement["Resource"])
            for statement in policy)
        for policy in (policy() if callable(policy) else policy for policy in identity["policies"]))


def demand(identity, action, resource):
    if not allows(identity, action, resource):
        raise Refused(
            "AccessDeniedException",
            f"User: {identity['arn']} is not authorized to perform: {action} on resource: {resource}")


def packed(context):
    parts = [b"%d" % len(context)]
    for name, value in sorted(context.items()):
        for text in (name, value):
            parts.append(struct.pack(">I", len(text.encode())) + text.encode())
    return b"".join(parts)


class KMS:
    def __init__(self, world, identity, region):
        self.world, self.identity, self.region = world, identity, region

    def key(self, name, action, usable=True):
        key = self.world.keys.get((self.region, name.rsplit("/", 1)[-1]))
        if key is None or name not in (key.arn, key.id):
            # What does not exist and what is not allowed look the same to who may do nothing there.
            demand(self.identity, action, name)
            raise Refused("NotFoundException", f"Key '{name}' does not exist")
        demand(self.identity, action, key.arn)
        if usable:
            if key.state == "Disabled":
                raise Refused("DisabledException", f"{key.arn} is disabled.")
            if key.state == "PendingDeletion":
                raise Refused("KMSInvalidStateException", f"{key.arn} is pending deletion.")
            if key.spec != "SYMMETRIC_DEFAULT" or key.usage != "ENCRYPT_DECRYPT":
                raise Refused("InvalidKeyUsageException", f"{key.arn} key usage is {key.usage}")
        return key

    def seal(self, key, plaintext, context):
        nonce, turn = os.urandom(12), len(key.materials) - 1
        head = key.number.bytes + struct.pack(">I", turn)
        return head + nonce + key.materials[turn][1].encrypt(nonce, plaintext, head + packed(context))

    def unseal(self, blob, context, name, action):
        if len(blob) < 48:
            raise Refused("InvalidCiphertextException")
        here = (key for (region, _), key in self.world.keys.items() if region == self.region)
        named = next((key for key in here if key.number.bytes == blob[:16]), None)
        turn = struct.unpack(">I", blob[16:20])[0]
        if named is None:
            raise Refused("InvalidCiphertextException")
        if name is not None and name not in (named.arn, named.id):
            self.key(name, action)
            raise Refused("IncorrectKeyException", "The key ID in the request does not identify the key that wrapped")
        key = self.key(named.arn, action)
        try:
            return key, turn, key.materials[turn][1].decrypt(blob[20:32], blob[32:], blob[:20] + packed(context))
        except (InvalidTag, IndexError):
            raise Refused("InvalidCiphertextException") from None

    def CreateKey(self, fields):
        demand(self.identity, "kms:CreateKey", "*")
        key = Key(
            self.region, fields.get("KeySpec", "SYMMETRIC_DEFAULT"), fields.get("KeyUsage", "ENCRYPT_DECRYPT"),
            multi_region=fields.get("MultiRegion", False))
        return {"KeyMetadata": self.world.make(key).metadata()}

    def ReplicateKey(self, fields):
        key, region = self.key(fields["KeyId"], "kms:ReplicateKey"), fields["ReplicaRegion"]
        if not key.multi_region or key.primary:
            raise Refused("UnsupportedOperationException", f"{key.arn} is no primary key of several regions")
        if region not in self.world.regions:
            raise Refused("ValidationException", f"there is no region {region}")
        if (region, key.id) in self.world.keys:
            raise Refused("AlreadyExistsException", f"{key.arn} is in {region} already")
        return {"ReplicaKeyMetadata": self.world.make(key.replica(region)).metadata(), "ReplicaPolicy": "{}"}

    def DescribeKey(self, fields):
        return {"KeyMetadata": self.key(fields["KeyId"], "kms:DescribeKey", usable=False).metadata()}

    def Encrypt(self, fields):
        key = self.key(fields["KeyId"], "kms:Encrypt")
        plaintext = base64.b64decode(fields["Plaintext"])
        if not 1 <= len(plaintext) <= 4096:
            raise Refused("ValidationException", "plaintext must have 1 to 4096 bytes")
        self.world.secrets.add(plaintext)
        return {"CiphertextBlob": self.seal(key, plaintext, fields.get("EncryptionContext", {})), "KeyId": key.arn}

    def GenerateDataKey(self, fields):
        key = self.key(fields["KeyId"], "kms:GenerateDataKey")
        if ("NumberOfBytes" in fields) == ("KeySpec" in fields):
            raise Refused("ValidationException", "either NumberOfBytes or KeySpec")
        plaintext = os.urandom(fields.get("NumberOfBytes", 32))
        self.world.secrets.add(plaintext)
        blob = self.seal(key, plaintext, fields.get("EncryptionContext", {}))
        return {"CiphertextBlob": blob, "Plaintext": plaintext, "KeyId": key.arn, "KeyMaterialId": key.materials[-1][0]}

    def Decrypt(self, fields):
        key, turn, plaintext = self.unseal(
            base64.b64decode(fields["CiphertextBlob"]), fields.get("EncryptionContext", {}), fields.get("KeyId"),
            "kms:Decrypt")
        return {
            "Plaintext": plaintext, "KeyId": key.arn, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "KeyMaterialId": key.materials[turn][0]}

    def ReEncrypt(self, fields):
        source, _, plaintext = self.unseal(
            base64.b64decode(fields["CiphertextBlob"]), fields.get("SourceEncryptionContext", {}),
            fields.get("SourceKeyId"), "kms:ReEncryptFrom")
        key = self.key(fields["DestinationKeyId"], "kms:ReEncryptTo")
        blob = self.seal(key, plaintext, fields.get("DestinationEncryptionContext", {}))
        return {"CiphertextBlob": blob, "KeyId": key.arn, "SourceKeyId": source.arn}

    def DisableKey(self, fields):
        self.key(fields["KeyId"], "kms:DisableKey", usable=False).state = "Disabled"

    def EnableKey(self, fields):
        self.key(fields["KeyId"], "kms:EnableKey", usable=False).state = "Enabled"

    def ScheduleKeyDeletion(self, fields):
        days = fields.get("PendingWindowInDays", 30)
        if not 7 <= days <= 30:
            raise Refused("ValidationException", "7 to 30 days")
        key = self.key(fields["KeyId"], "kms:ScheduleKeyDeletion", usable=False)
        key.state, key.deletion = "PendingDeletion", self.world.now() + days * 86400
        return {"KeyId": key.arn, "DeletionDate": key.deletion, "KeyState": key.state}

    def CancelKeyDeletion(self, fields):
        key = self.key(fields["KeyId"], "kms:CancelKeyDeletion", usable=False)
        key.state, key.deletion = "Disabled", None
        return {"KeyId": key.arn}

    def RotateKeyOnDemand(self, fields):
        key = self.key(fields["KeyId"], "kms:RotateKeyOnDemand")
        key.turn()
        return {"KeyId": key.arn}


class STS:
    def __init__(self, world, identity):
        self.world, self.identity = world, identity

    def GetCallerIdentity(self, fields):
        return {"Arn": self.identity["arn"], "UserId": "U", "Account": ACCOUNT}

    def AssumeRole(self, fields):
        world, arn = self.world, fields["RoleArn"]
        denied = Refused(
            "AccessDenied", f"User: {self.identity['arn']} is not authorized to perform: sts:AssumeRole on resource: {arn}", 403)
        if arn != f"arn:aws:iam::{ACCOUNT}:role/{world.role}" or self.identity["arn"] != world.trusted:
            raise denied
        if world.asks_external_id and fields.get("ExternalId") != world.external_id:
            raise denied
        if not allows(self.identity, "sts:AssumeRole", arn):
            raise denied
        return self.session(fields, arn)

    def AssumeRoleWithWebIdentity(self, fields):
        if fields["WebIdentityToken"] != "token-of-the-web":
            raise Refused("InvalidIdentityToken", "not issued by a provider that is trusted")
        return self.session(fields, fields["RoleArn"])

    def session(self, fields, arn):
        world = self.world
        seconds = int(fields.get("DurationSeconds", 3600))
        if not 900 <= seconds <= 43200 or len(fields.get("Policy", "")) > 2048:
            raise Refused("ValidationError", "the duration or the policy is out of bounds")
        policies = [lambda: world.role_policy]
        if "Policy" in fields:
            policies.append([
                {n: [v] if isinstance(v, str) else v for n, v in statement.items()}
                for statement in json.loads(fields["Policy"])["Statement"]])
        access = "ASIA" + uuid.uuid4().hex[:16].upper()
        secret, token = uuid.uuid4().hex, uuid.uuid4().hex
        world.secrets |= {secret.encode(), token.encode()}
        name = arn.rsplit("/", 1)[-1]
        end = world.now() + (world.session_seconds or seconds)
        world.identities[access] = world.identity(
            secret, f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{fields['RoleSessionName']}", policies, token, end, name)
        return {"Credentials": {
            "AccessKeyId": access, "SecretAccessKey": secret, "SessionToken": token,
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))}}


def xml(value):
    if isinstance(value, dict):
        return "".join(f"<{name}>{xml(inner)}</{name}>" for name, inner in value.items())
    return str(value).replace("&", "&amp;").replace("<", "&lt;")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world = None

    def log_message(self, *words):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = self.headers.get("X-Amz-Target", "")
        with self.world.lock:
            if target.startswith("TrentService."):
                self.kms(target.removeprefix("TrentService."), body)
            else:
                self.sts(body)

    def kms(self, action, body):
        try:
            self.keep_quota()
            service = KMS(self.world, *authenticate(self.world, "kms", self.headers, body))
            method = getattr(service, action, None)
            if method is None:
                raise Refused("UnknownOperationException")
            answer = method(json.loads(body)) or {}
            status = 200
        except Refused as refused:
            answer, status = {"__type": refused.code, "message": refused.message}, refused.status
        text = json.dumps(answer, default=lambda blob: base64.b64encode(blob).decode())
        self.reply(status, text, "application/x-amz-json-1.1")

    def sts(self, body):
        fields = {name: values[0] for name, values in urllib.parse.parse_qs(body.decode()).items()}
        action = fields.get("Action", "")
        try:
            if action == "AssumeRoleWithWebIdentity":
                service = STS(self.world, None)
            else:
                service = STS(self.world, authenticate(self.world, "sts", self.headers, body)[0])
            answer, status = getattr(service, action)(fields), 200
            text = xml({f"{action}Response": {f"{action}Result": answer}})
        except Refused as refused:
            status = 403 if refused.status == 400 else refused.status
            text = xml({"ErrorResponse": {"Error": {"Type": "Sender", "Code": refused.code, "Message": refused.message}}})
        self.reply(status, text, "text/xml")

    def keep_quota(self):
        second, count = self.world.window
        now = int(time.time())
        self.world.window = (now, count + 1 if second == now else 1)
        if self.world.quota is not None and self.world.window[1] > self.world.quota:
            raise Refused("ThrottlingException", "Rate exceeded")

    def reply(self, status, text, kind):
        data = text.encode()
        self.send_response_only(status)
        self.send_header("Date", email.utils.formatdate(self.world.now(), usegmt=True))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.end_headers()
        self.wfile.write(data)


class Server:
    pass


def start(region, role, external_id, actions):
    world = World(region, role, external_id, actions)
    handler = type("Bound", (Handler,), {"world": world})
    server_type = type("Server", (http.server.ThreadingHTTPServer,), {"request_queue_size": 128})
    listener = server_type(("127.0.0.1", 0), handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    server = Server()
    server.port, server.facts, server.control = listener.server_address[1], world.facts, world.control
    return server
