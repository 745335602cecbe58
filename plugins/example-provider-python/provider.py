"""A key provider for Keyturn in Python: AES-256-GCM with keys that lie in a directory, one file each.

The newest key wraps, all of them unwrap. It shows every part of a provider; a directory is no place for keys that matter.
"""

import hashlib
import json
import os
import pathlib
import signal
import struct
import sys
import threading
from concurrent import futures

import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import provider_pb2 as wire
import provider_pb2_grpc as wire_grpc

KIND, VERSION = "example-python", "1.0"


class Refusal(Exception):
    """An answer that is none: a status of the wire, a message and a hint."""

    def __init__(self, status, message, hint=""):
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint


class KeyDirectory:
    """The keys in a directory, oldest first."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        if not self.path.is_dir():
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION, f"cannot read the keys in {path}", "Make the directory, mode 0700."
            )
        self.lock = threading.RLock()
        # What each request for a new key has made, so that a repeated one makes no second.
        self.made = {}
        self.keys = [file.read_bytes() for file in sorted(self.path.glob("*.key"))]
        if not self.keys:
            self.make()

    def make(self):
        with self.lock:
            key = os.urandom(32)
            file = self.path / f"{len(self.keys) + 1:04}.key"
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(key)
                stream.flush()
                os.fsync(descriptor)
            self.keys.append(key)

    def make_once(self, request):
        with self.lock:
            if request not in self.made:
                self.make()
                self.made[request] = len(self.keys) - 1
            return self.made[request]

    @staticmethod
    def name(key):
        """What a key is called: what it is, not where it lies."""
        return hashlib.sha256(b"example-provider" + key).hexdigest()[:16]

    def named(self, name):
        for key in self.keys:
            if self.name(key) == name:
                return key
        raise Refusal(grpc.StatusCode.NOT_FOUND, f"there is no such key in {self.path}", "Put back the file that holds it.")


def context_of(binding):
    """What a wrapped key is bound to, with lengths, so that no two bindings give the same bytes."""
    parts = [binding.instance, binding.keyring, f"{binding.key_id:08x}"]
    return b"".join(struct.pack(">I", len(part.encode())) + part.encode() for part in parts)


class Provider(wire_grpc.KeyProviderServicer):
    """The calls of the wire."""

    def __init__(self, ended):
        self.ended = ended
        self.directories = {}
        self.lock = threading.Lock()

    def directory(self, call):
        """The directory that the settings name, opened once."""
        unknown = sorted(set(call.settings) - {"directory"})
        if unknown:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, f"there is no setting {unknown[0]!r}")
        if "directory" not in call.settings:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "setting directory is missing")
        path = call.settings["directory"]
        with self.lock:
            if path not in self.directories:
                self.directories[path] = KeyDirectory(path)
            return self.directories[path]

    def describe(self, directory, index):
        name = directory.name(directory.keys[index])
        return wire.Key(id=name, is_usable=True, summary=f"key {index + 1} of {directory.path}")

    def GetInfo(self, request, context):
        setting = wire.Setting(name="directory", summary="the directory that holds the keys", is_required=True)
        return wire.GetInfoResponse(kind=KIND, version=VERSION, settings=[setting])

    def Test(self, request, context):
        directory = self.directory(request.call)
        remark = f"{len(directory.keys)} keys"
        return wire.TestResponse(checks=[wire.Check(name="keys", outcome=wire.Check.OUTCOME_PASS, remark=remark)])

    def Wrap(self, request, context):
        if not 1 <= len(request.material) <= 256:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"material has {len(request.material)} bytes")
        directory = self.directory(request.call)
        key, nonce = directory.keys[-1], os.urandom(12)
        ciphertext = nonce + AESGCM(key).encrypt(nonce, request.material, context_of(request.binding))
        return wire.WrapResponse(
            wrapped=wire.WrappedKey(ciphertext=ciphertext, provider_key_id=directory.name(key))
        )

    def Unwrap(self, request, context):
        key = self.directory(request.call).named(request.wrapped.provider_key_id)
        ciphertext = request.wrapped.ciphertext
        try:
            if len(ciphertext) < 29:
                raise InvalidTag
            material = AESGCM(key).decrypt(ciphertext[:12], ciphertext[12:], context_of(request.binding))
        except InvalidTag:
            raise Refusal(grpc.StatusCode.DATA_LOSS, "it was changed or wrapped for another place") from None
        return wire.UnwrapResponse(material=material)

    def DescribeKey(self, request, context):
        directory = self.directory(request.call)
        return wire.DescribeKeyResponse(key=self.describe(directory, len(directory.keys) - 1))

    def RotateKey(self, request, context):
        directory = self.directory(request.call)
        made = directory.make_once(request.call.idempotency_key)
        return wire.RotateKeyResponse(key=self.describe(directory, made))

    def ListVersions(self, request, context):
        directory = self.directory(request.call)
        count = len(directory.keys)
        return wire.ListVersionsResponse(keys=[self.describe(directory, index) for index in range(count)])

    def Shutdown(self, request, context):
        self.ended.set()
        return wire.ShutdownResponse()


class Statuses(grpc.ServerInterceptor):
    """Turns refusals into statuses of the wire."""

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        if handler is None:
            return None

        def answer(request, context):
            try:
                return handler.unary_unary(request, context)
            except Refusal as refusal:
                if refusal.hint:
                    context.set_trailing_metadata([("keyturn-hint-bin", refusal.hint.encode())])
                print(f"<4>{refusal.message}", file=sys.stderr, flush=True)
                context.abort(refusal.status, refusal.message)

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


def main():
    socket = os.environ.get("KEYTURN_PROVIDER_SOCKET")
    if socket is None:
        print('This is a key provider for Keyturn. Try it with "keyturn plugin test".', file=sys.stderr)
        return 64
    os.umask(0o077)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server = grpc.server(futures.ThreadPoolExecutor(8), interceptors=[Statuses()])
    wire_grpc.add_KeyProviderServicer_to_server(Provider(ended), server)
    server.add_insecure_port("unix:" + socket)
    server.start()
    greeting = {
        "protocols": [1],
        "capabilities": ["describe", "rotate", "test", "unwrap", "versions", "wrap"],
        "kind": KIND,
        "version": VERSION,
    }
    print(json.dumps(greeting), flush=True)
    # The host is gone when standard input ends.
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), ended.set()), daemon=True).start()
    ended.wait()
    server.stop(grace=1).wait()
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
