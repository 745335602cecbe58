"""What a person and a script wait for: a session with the daemon, as whole processes on an idle instance."""

import os
import pty
import re
import select
import signal
import statistics
import subprocess
import time

from .instance import Instance
from .report import Figure

CALLS = 60
STARTS = 20
CALL_BAR_MS = 50
PROMPT_BAR_MS = 150
PATIENCE_S = 30


def measure(place):
    # The path of a socket is short.
    instance = Instance(place.scratch / "con", place.built("keyturn"), "kr1")
    instance.create([b"x" * 20] * 10, "BLOB")
    socket = f"/tmp/keyturn-bench-{os.getpid()}/k.sock"
    daemon = subprocess.Popen(
        instance.command("serve", "--socket", socket, "--log-level", "error"), stderr=subprocess.PIPE
    )
    try:
        wait_for(socket, daemon)
        through = instance.program, "--socket", socket
        calls = timed(CALLS, lambda: run(*through, "call", "status", "-o", "json"))
        alone = timed(CALLS // 3, lambda: run(*instance.command("--embedded", "call", "status", "-o", "json")))
        figures = [
            Figure("console: call status through the daemon, median", statistics.median(calls), "ms", at_most=CALL_BAR_MS),
            Figure("console: the same, slowest of 20", percentile(calls, 95), "ms"),
            Figure("console: the same with --embedded, median", statistics.median(alone), "ms"),
        ]
        details = {"call_ms": calls, "embedded_ms": alone}
        # A build without the console has no prompt to wait for.
        if re.search(r"^ +console ", run(instance.program, "--help"), re.MULTILINE):
            prompts = [prompt_ms([*through, "console"]) for _ in range(STARTS)]
            figures.append(
                Figure("console: start to prompt, median", statistics.median(prompts), "ms", at_most=PROMPT_BAR_MS)
            )
            details["prompt_ms"] = prompts
        return figures, details
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(PATIENCE_S)
        place.discard(os.path.dirname(socket))
        place.discard(instance.folder)


def wait_for(socket, daemon):
    deadline = time.monotonic() + PATIENCE_S
    while not os.path.exists(socket):
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the daemon does not listen")
        time.sleep(0.01)


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def timed(count, work):
    """Milliseconds of each of `count` goes; one more before them warms the files up."""
    work()
    times = []
    for _ in range(count):
        start = time.monotonic()
        work()
        times.append((time.monotonic() - start) * 1000)
    return times


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def prompt_ms(words):
    """Milliseconds from the start of a console on a terminal of its own until it shows its prompt."""
    start = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(words[0], words)
    shown = b""
    try:
        while b"> " not in shown:
            left = start + PATIENCE_S - time.monotonic()
            if left <= 0 or not select.select([terminal], [], [], left)[0]:
                raise RuntimeError(f"no prompt: {shown!r}")
            shown += os.read(terminal, 4096)
        return (time.monotonic() - start) * 1000
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
