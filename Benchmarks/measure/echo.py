"""The limit for a plugin: calls of gRPC's own C library over a Unix socket, to a process that gives back what it gets.

usage: echo.py SOCKET        serves until standard input ends
"""

import statistics
import subprocess
import sys
import time
from concurrent import futures

import grpc

METHOD = "/bench.Echo/Call"


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)


def serve(socket):
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    server.stop(None)


def pair(socket, size, count):
    """The median of two calls one after the other, in milliseconds."""
    process = subprocess.Popen([sys.executable, __file__, str(socket)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    times = []
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        call = channel.unary_unary(METHOD)
        for number in range(count + count // 10):
            start = time.perf_counter()
            for _ in range(2):
                call(bytes(size), timeout=10)
            if number >= count // 10:
                times.append(time.perf_counter() - start)
    process.stdin.close()
    process.wait()
    return statistics.median(times) * 1e3


if __name__ == "__main__":
    serve(sys.argv[1])
