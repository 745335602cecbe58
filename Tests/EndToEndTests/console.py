#!/usr/bin/env python3
"""Sits at consoles of a real instance with a real daemon, and runs scripts on it as a shell does.

usage: console.py KEYTURN CASE      exit 0 where the case holds; else 1 with what was seen
"""

import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests" / "ConsoleSessionTests"))

from console import Console, LIMIT, expect  # noqa: E402

KEYTURN = os.path.abspath(sys.argv[1])
PROMPT = "vault (server_admin)> "


def check(holds, why):
    if not holds:
        sys.exit(why)


class Instance:
    """A database, its instance, and its daemon."""

    def __init__(self, home, rows=50, around=False):
        self.home, self.daemon = home, None
        with sqlite3.connect(f"{home}/app.db") as database:
            database.execute("CREATE TABLE secret (id INTEGER PRIMARY KEY, value TEXT)")
            database.executemany("INSERT INTO secret VALUES (?, ?)", ((n, f"secret {n}") for n in range(rows)))
        database.close()
        lines = ['database "sqlite:app.db"', 'column "secret.value" { keyring = "main", key = "id" }']
        if around:
            subprocess.run(["age-keygen", "-o", f"{home}/backup-key.txt"], check=True, capture_output=True)
            recipient = subprocess.run(
                ["age-keygen", "-y", f"{home}/backup-key.txt"], check=True, capture_output=True, text=True).stdout.strip()
            lines += [
                'keyring "main" { core = "kr1", backup = "required" }',
                f'backup {{ directory = "backups", recipient = "{recipient}", external_backup_retention = "none" }}']
        else:
            lines.append('keyring "main" { core = "kr1" }')
        pathlib.Path(home, "keyturn.lua").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.run("init", "--config", "keyturn.lua")
        if around:
            os.mkdir(f"{home}/vault/scripts")
            shutil.copy(ROOT / "scripts" / "backup-around.lua", f"{home}/vault/scripts")
            self.run("call", "configuration.load", "--yes")
        self.run("adopt", "secret.value", "--yes", "--quiet")

    @property
    def environment(self):
        return {**os.environ, "KEYTURN_INSTANCE": f"{self.home}/vault", "HOME": self.home, "PAGER": "cat"}

    def start(self, *words):
        return subprocess.Popen(
            [KEYTURN, *words], cwd=self.home, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)

    def run(self, *words, code=0, given=""):
        done = subprocess.run(
            [KEYTURN, *words], cwd=self.home, env=self.environment, input=given, capture_output=True, text=True, timeout=LIMIT)
        check(done.returncode == code, f"{words} ended with {done.returncode}, not {code}:\n{done.stderr}{done.stdout}")
        return done.stdout

    def serve(self):
        self.daemon = self.start("serve", "--log-format", "json")
        line = self.daemon.stderr.readline()
        check("listening" in line or "listening" in self.daemon.stderr.readline(), f"the daemon does not listen: {line}")

    def end(self, number=signal.SIGTERM):
        self.daemon.send_signal(number)
        self.daemon.communicate(timeout=LIMIT)

    def console(self):
        console = Console(
            self.home, columns=110, rows=50, program=[KEYTURN, "console", "--instance", f"{self.home}/vault"],
            PAGER="cat")
        console.at_prompt(prompt=PROMPT)
        return console


def does(console, text, *seen):
    """Types an input, and waits for what it shows and for the prompt."""
    console.type(text + "\r")
    for words in seen:
        console.sees(words)
    console.at_prompt(prompt=PROMPT)


def leave(console):
    console.type("\x04")
    expect(console, console.ends() == 0, "Ctrl-D leaves with 0")


def asked(console, text, answer):
    console.type(text + "\r")
    console.until(lambda: console.line == 'Type "main" to go ahead:', "it asks")
    console.type(answer + "\r")


def session(home):
    instance = Instance(home, around=True)
    instance.serve()
    console = instance.console()
    does(console, 'help("rotations.rotate")', "example: rotations.rotate(")
    console.type("keyr\t")
    console.at_prompt("keyrings.", prompt=PROMPT)
    console.type("\x03")
    console.at_prompt(prompt=PROMPT)
    does(console, "keyrings.list()", "kr1")
    does(console, 'plan = rotations.plan{keyring = "main"}')
    does(console, "plan", plan_hash(instance))
    asked(console, 'rotations.rotate("main")', "mian")
    console.sees("not confirmed")
    console.at_prompt(prompt=PROMPT)
    asked(console, 'rotations.rotate("main")', "main")
    console.sees("of run 2, proved by restore at")
    console.at_prompt(prompt=PROMPT)
    does(console, "runs.show(2).summary.state", '"done"')
    does(console, "audit.verify().isWhole", "true")
    leave(console)
    stages = [backup["stage"] for backup in json.loads(instance.run("call", "backups.list", "-o", "json"))["result"]]
    check(stages == ["after", "before"] * 2, f"backups around both runs: {stages}")
    instance.end()


def plan_hash(instance):
    return json.loads(instance.run("plan", "main", "-o", "json"))["result"]["hash"][:12]


def restart(home):
    instance = Instance(home, rows=3000)
    instance.serve()
    console = instance.console()
    does(console, "kept = 1")
    asked(console, 'rotations.rotate{keyring = "main", rows_per_second = 600}', "main")
    console.sees("reencrypt")
    instance.end()
    console.sees("not done again: rotations.rotate")
    console.at_prompt(prompt=PROMPT)
    instance.serve()
    does(console, "kept", "connected again; the variables of the session before are gone")
    does(console, 'runs.watch(2).summary.state', '"done"')
    # A daemon that is killed between two inputs is found out by the next one.
    instance.end(signal.SIGKILL)
    instance.serve()
    console.type("1 + 1\r")
    console.until(lambda: "not done again" in "\n".join(console.lines) or console.lines.count("2") > 0, "it is noticed")
    console.at_prompt(prompt=PROMPT)
    does(console, "40 + 2", "42")
    leave(console)
    instance.end()


def history(home):
    instance = Instance(home)
    instance.serve()
    first, second = instance.console(), instance.console()
    for number in range(5):
        does(first, f'"first {number}"', f'"first {number}"')
        does(second, f'"second {number}"', f'"second {number}"')
    does(first, "for i = 1, 2 do\r  print(i * 21)\rend", "42")
    does(first, 'columns.seal("secret.value", "hunter2")')
    leave(first)
    leave(second)
    files = [path for path in pathlib.Path(home, "state").rglob("*") if path.is_file()]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    check(len(files) == 1 and "hunter2" not in text, f"one file without what is sensitive: {files}")
    check(all(f"{name} {number}" in text for name in ("first", "second") for number in range(5)), f"nothing is lost: {text}")
    third = instance.console()
    third.type("\x12first 3")
    third.until(lambda: '"first 3"' in third.line or any('"first 3"' in line for line in third.lines), "it is found")
    third.type("\x07\x03")
    third.at_prompt(prompt=PROMPT)
    leave(third)
    instance.end()


def scripts(home):
    instance = Instance(home)
    for serves in (False, True):
        if serves:
            instance.serve()
        awkward = "'; os.exit() --"
        check(instance.run("-c", "print(arg[1])", "--", awkward) == awkward + "\n", "an argument is data")
        pathlib.Path(home, "two.lua").write_text("#!/usr/bin/env keyturn\nprint(1)\nreturn {arg[1], 2}\n", encoding="utf-8")
        answer = json.loads(instance.run("-o", "json", "-f", "two.lua", "ä"))
        check(answer == {"ok": True, "result": ["ä", 2]}, f"a file: {answer}")
        check(instance.run("-", given="print(#keyrings.list())") == "1\n", "standard input")
        for words in (("call", "runs.list"), ("call", "keyrings.list"), ("-c", "runs.list()"), ("call", "help")):
            listed = json.loads(instance.run("-o", "json", *words))
            check(listed["ok"] and listed["result"], f"{words}: {listed}")
        for code, words in {
            1: ("-c", "error('no')"), 2: ("--socket", f"{home}/none.sock", "-c", "1"),
            3: ("-c", "rotations.rotate('main')"), 4: ("-c", "local t = {} while true do t[#t + 1] = ('x'):rep(1 << 20) .. #t end"),
            64: ("-c",),
        }.items():
            error = json.loads(instance.run("-o", "json", *words, code=code))
            check(error["ok"] is False and error["error"]["message"], f"{words}: {error}")
        instance.run("-c", "print(1) error('x') print(2)", code=1)
        looping = instance.start("-c", "print('begun') while true do end")
        check(looping.stdout.readline() == "begun\n", "it begins")
        looping.send_signal(signal.SIGINT)
        looping.communicate(timeout=LIMIT)
        check(looping.returncode == 130, f"interrupted: {looping.returncode}")
    instance.run("--yes", "-c", "rotations.rotate('main')")
    instance.end()


def interrupts(home):
    instance = Instance(home, rows=3000)
    instance.serve()
    console = instance.console()
    does(console, "kept = 7")
    console.type("while true do end\r")
    console.pump(3)
    console.type("\x03")
    console.sees("cancelled")
    console.at_prompt(prompt=PROMPT)
    does(console, "kept", "7")
    asked(console, 'rotations.rotate{keyring = "main", rows_per_second = 600}', "main")
    console.sees("reencrypt")
    console.type("\x03")
    console.sees("run 2 goes on; watch it again with: runs.watch(2)")
    console.at_prompt(prompt=PROMPT)
    does(console, "runs.watch(2).summary.state", '"done"')
    does(console, "kept", "7")
    leave(console)
    instance.end()


CASES = {case.__name__: case for case in (session, restart, history, scripts, interrupts)}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="keyturn-session.") as place:
        CASES[sys.argv[2]](place)
