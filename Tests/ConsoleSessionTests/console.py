#!/usr/bin/env python3
"""Sits at a console as a person does: on a pseudo terminal, reading a screen.

usage: console.py PROGRAM CASE      exit 0 where the case holds; else 1 with what the screen showed
"""

import os
import signal
import subprocess
import sys
import tempfile
import time

import pexpect
import pyte

LIMIT = 60
PROMPT = "paper (operator)> "
PROGRAM = os.path.abspath(sys.argv[1])


class Console:
    """The program on a terminal of its own."""

    def __init__(self, home, columns=80, rows=24, arguments=(), program=None, **settings):
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH")}
        environment.update({"HOME": home, "XDG_STATE_HOME": f"{home}/state", "TERM": "xterm-256color"} | settings)
        command = program or [PROGRAM, *arguments]
        self.child = pexpect.spawn(
            command[0], command[1:], dimensions=(rows, columns), env=environment, cwd=home, timeout=LIMIT)
        self.child.delaybeforesend = None
        self.screen = pyte.HistoryScreen(columns, rows, history=5000)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""

    def pump(self, seconds=0.05):
        """Reads what has come; False at the end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                piece = self.child.read_nonblocking(65536, timeout=0.02)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                return False
            self.raw += piece
            self.stream.feed(piece)
        return True

    def type(self, data):
        """Types text or bytes, reading along so that neither side waits for the other."""
        data = data.encode() if isinstance(data, str) else data
        for start in range(0, len(data), 1024):
            self.child.send(data[start:start + 1024])
            if len(data) > 1024:
                self.pump(0.001)

    @property
    def lines(self):
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def line(self):
        """The line of the cursor."""
        return self.screen.display[self.screen.cursor.y].rstrip()

    def until(self, holds, what):
        """Reads until something holds."""
        end = time.monotonic() + LIMIT
        while not holds():
            if time.monotonic() > end:
                fail(self, f"not so within {LIMIT} s: {what}")
            self.pump()

    def sees(self, text):
        self.until(lambda: any(text in line for line in self.lines), f"the screen shows {text!r}")

    def at_prompt(self, typed="", prompt=PROMPT):
        """Waits until the cursor stands behind the prompt and what was typed."""
        self.until(lambda: self.line == (prompt + typed).rstrip(), f"the line is {prompt + typed!r}")

    def ends(self, limit=LIMIT):
        """Waits for the program's end; its exit code, or the negative number of its signal."""
        end = time.monotonic() + limit
        while self.child.isalive():
            if time.monotonic() > end:
                fail(self, "it does not end")
            self.pump()
        # What it wrote last may still be in the terminal.
        end = time.monotonic() + 2
        while self.pump() and time.monotonic() < end:
            pass
        return self.child.exitstatus if self.child.signalstatus is None else -self.child.signalstatus


def fail(console, why):
    cursor = console.screen.cursor
    print(f"{why}\ncursor in row {cursor.y}, column {cursor.x}\n" + "\n".join(console.lines), file=sys.stderr)
    sys.exit(1)


def expect(console, holds, why):
    if not holds:
        fail(console, why)


def started(home, **settings):
    console = Console(home, **settings)
    console.at_prompt()
    return console


def editing(home):
    console = started(home)
    console.type("retrun 1\x1b[D\x1b[D\x1b[D\x1b[D\x14")
    console.at_prompt("return 1")
    console.type("\x05\x17\x17x = 漢字e\u0301")
    console.at_prompt("x = 漢字é")
    console.type("\x1f\x1f\x1fok\r")
    console.sees('"')
    console.at_prompt()
    console.type("for i = 1, 2 do\r  print(i)\rend\r")
    console.sees('"for i = 1, 2 do\\n  print(i)\\nend"')
    expect(console, sum("for i = 1" in line for line in console.lines) == 2, "the input of three lines is shown once")
    console.type("\x1b[A")
    console.until(lambda: console.line.endswith("-> end"), "the entry of three lines is back")
    console.type("\x03")
    console.at_prompt()
    console.type("\x04")
    expect(console, console.ends() == 0, "Ctrl-D leaves with 0")


def wide(home):
    console = started(home, columns=30)
    text = "漢字" * 6
    console.type("ab" + text)
    # 18 cells of prompt and 2 letters leave 10: five wide characters, then a new row.
    console.until(lambda: console.line == text[5:].replace("", "")[:7] and console.screen.cursor.x == 14, "the rest is below")
    console.type("\x01\x1b[C\x1b[C\x1b[C")
    console.until(lambda: console.screen.cursor.x == len(PROMPT) + 4, "the cursor stands behind a wide character")
    console.type("\x05" + "e\u0301" * 20)
    console.until(lambda: console.line.count("é") + console.line.count("e\u0301") > 0, "marks join")
    console.type("\r")
    console.at_prompt()


def paste(home):
    console = started(home)
    console.type("\x1b[200~\\q\r\x03\x04rm -rf\x1b[201~\\q\r\x1b[201~")
    console.until(lambda: any("\\q" in line for line in console.lines), "the paste is shown")
    console.pump(0.5)
    expect(console, console.child.isalive(), "the paste ends the console")
    console.type("\r")
    console.sees("what is pasted is no command")
    console.type("\x1b[200~one\ntwo\x1b[201~")
    console.until(lambda: console.line.endswith("-> two"), "two lines are pasted and not run")
    console.type("\r")
    console.sees('"one\\ntwo"')
    console.type("\\q\r")
    expect(console, console.ends() == 0, "what is typed is a command")


def mebibyte(home):
    console = started(home)
    console.type(b"\x1b[200~" + b"x" * (1 << 20) + b"\x1b[201~")
    console.until(lambda: console.line.startswith("xxx") or console.screen.cursor.y == 23, "the paste is shown")
    console.pump(0.5)
    console.type("\x03")
    console.at_prompt()
    console.type("ok\r")
    console.sees('"ok"')


def resize(home):
    console = started(home)
    console.type("for name in pairs(keyrings) do 漢字 end")
    console.at_prompt("for name in pairs(keyrings) do 漢字 end")
    sizes = [(24, 80), (1, 1), (3, 7), (50, 200), (2, 2), (24, 20), (1, 80), (24, 1)] * 8 + [(30, 100)]
    for rows, columns in sizes:
        console.child.setwinsize(rows, columns)
        console.screen.resize(rows, columns)
        console.pump(0.02)
    console.pump(0.5)
    console.type("\x0c")
    console.at_prompt("for name in pairs(keyrings) do 漢字 end")
    expect(console, len(console.lines) == 1, "there is one line after all")
    console.type("\r")
    console.sees('"for name in pairs(keyrings) do 漢字 end"')


def interrupts(home):
    console = started(home)
    console.type("text\x03")
    console.sees("> text^C".replace("text^C", "^C"))
    console.at_prompt()
    console.type("for x\r")
    console.until(lambda: console.line.endswith("->"), "the input goes on")
    console.type("\x03")
    console.at_prompt()
    console.type("hang\r")
    console.pump(0.3)
    console.type("\x03")
    console.sees("cancelled")
    console.at_prompt()
    console.type("stuck\r")
    console.pump(0.3)
    console.type("\x03")
    console.sees("asking it to end")
    console.type("\x03")
    console.sees("the worker was killed; its variables are gone")
    console.at_prompt()
    console.type("forgets\r")
    console.pump(0.3)
    console.type("\x03")
    console.sees("cancelled: its worker was killed, variables gone")
    console.sees("goes on with a fresh worker")
    console.at_prompt()
    console.type("run\r")
    console.sees("of 100 rows")
    console.type("\x03")
    console.sees("run 7 goes on; watch it again with: runs.watch(7)")
    console.at_prompt()
    expect(console, not any("of 100 rows" in line for line in console.lines), "the line of progress is gone")
    console.type("\x03")
    console.sees("Ctrl-C again or Ctrl-D leaves")
    console.at_prompt()
    console.type("ok\r")
    console.at_prompt()
    console.type("\x03")
    console.pump(0.3)
    expect(console, console.child.isalive(), "one Ctrl-C after an input does not leave")
    console.type("\x03")
    expect(console, console.ends() == 0, "the second Ctrl-C leaves")


def abandoned(home):
    for keys in ("\x03\x03\x03", "\x1c"):
        console = started(home)
        console.type("dead\r")
        console.pump(0.3)
        for key in keys:
            console.type(key)
            console.pump(0.2)
        console.ends()


def history(home):
    first, second = started(home), started(home)
    for number in range(20):
        for name, console in (("first", first), ("second", second)):
            console.type(f"for {name}\r{number} end\r")
            console.sees(f'"for {name}\\n{number} end"')
            console.at_prompt()
    first.type(" hidden\r")
    first.sees('" hidden"'.replace(" hidden", "hidden"))
    first.at_prompt()
    first.type('columns.seal("t.s", "hunter2")\r')
    first.at_prompt()
    first.type("\x1b[A")
    first.at_prompt('columns.seal("t.s", "hunter2")')
    first.type("\x03")
    first.at_prompt()
    first.type('\\watch 60 columns.seal("t.s", "hunter3")\r')
    first.sees("Ctrl-C ends it")
    first.type("\x03")
    first.at_prompt()
    first.type('\\wach 60 columns.seal("t.s", "hunter4")\r')
    first.sees("there is no command")
    first.at_prompt()
    for console in (first, second):
        console.type("\x03")
        console.at_prompt()
        console.type("\x04")
        console.ends()
    files = [os.path.join(folder, name) for folder, _, names in os.walk(f"{home}/state") for name in names]
    text = open(files[0], encoding="utf-8").read()
    expect(first, len(files) == 1 and os.stat(files[0]).st_mode & 0o777 == 0o600, f"one file for its owner: {files}")
    entries = [line.split("\t", 1)[1] for line in text.splitlines()]
    for name in ("first", "second"):
        own = [entry for entry in entries if entry.startswith(f"for {name}")]
        expect(first, own == [f"for {name}\\n{number} end" for number in range(20)], f"entries of {name}: {own}")
    expect(first, "hunter" not in text and "hidden" not in text, "what is sensitive or hidden is not in the file")
    third = started(home)
    third.type("\x12first")
    third.until(lambda: "(search" in "".join(third.lines) and "19 end" in "".join(third.lines), "the search finds the last")
    third.type("\x07\x04")
    third.ends()


def invalid(home):
    console = started(home)
    console.type(b"a\xff\xfe\xc3(\xe2\x82")
    console.pump(0.3)
    console.type("b\r")
    console.sees('"a\ufffd\ufffd\ufffd(\ufffdb"')


def colour(home):
    console = started(home)
    console.type("local x")
    console.at_prompt("local x")
    expect(console, b"\x1b[1mlocal" in console.raw, "a keyword is set off")
    plain = started(home, NO_COLOR="1")
    plain.type("local x\rfail\r")
    plain.sees("it failed")
    plain.at_prompt()
    expect(plain, b"m" not in b"".join(part[:4] for part in plain.raw.split(b"\x1b[")[1:] if part[:1].isdigit() and b"m" in part[:3]),
           "NO_COLOR leaves no colour")


def dumb(home):
    console = Console(home, TERM="dumb")
    console.until(lambda: console.line == "paper>", "a plain prompt")
    console.type("for\n")
    console.until(lambda: console.line == "->", "the input goes on")
    console.type("1 end\nfail\n\\q\n")
    expect(console, console.ends() == 0, "it leaves")
    expect(console, b"\x1b" not in console.raw, "nothing is written that a dumb terminal cannot show")
    expect(console, b'"for\\n1 end"' in console.raw and b"error: console:1: it failed" in console.raw, "inputs are run")


def pipes(home):
    done = subprocess.run([PROGRAM], input="one\nfor\n1 end\nfail\ntwo\n", capture_output=True, text=True, timeout=LIMIT)
    assert done.stdout == '"one"\n"for\\n1 end"\n"two"\n', done
    assert done.returncode == 1 and "it failed" in done.stderr, done


def scripts(home):
    def run(*words, **settings):
        return subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=LIMIT, **settings)

    done = run("-c", "fail")
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith("keyturn: console:1: it failed\nhint:"), done
    done = run("-c", "fail", "-o", "json")
    assert done.returncode == 1 and '"code" : "callerScriptFailed"' in done.stdout and done.stderr == "", done
    done = run("-c", "print a\x1b]0;x\x07", "-o", "json")
    assert done.stderr == "a\\u{1b}]0;x\\u{7}\n" and done.stdout == '{\n  "ok" : true,\n  "result" : null\n}\n', done
    done = run("-c", "rotate")
    assert done.returncode == 3 and "main" in done.stderr, done
    with open(f"{home}/a.lua", "w", encoding="utf-8") as file:
        file.write("\\o csv\nrows 2\n\\o table\nfail\n\\x\nrows 3\n")
    done = run("-f", f"{home}/a.lua")
    assert done.returncode == 1 and done.stdout == "name,count\nrow 0,0\nrow 1,1000\n", done
    line = f"{PROGRAM} -c 'rows 100000' | head -2"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout.splitlines()) == 2, done
    process = subprocess.Popen([PROGRAM, "-c", "hang"], stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 130 and errors == "keyturn: interrupted\n", (process.returncode, errors)


def hangup(home):
    for text in ("", "dead\r", "rotate\r", "\x1b[200~half a paste"):
        console = started(home)
        console.type(text)
        console.pump(0.3)
        pid = console.child.pid
        console.child.ptyproc.fileobj.close()
        end = time.monotonic() + LIMIT
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            assert time.monotonic() < end, f"it outlives its terminal after {text!r}"
            time.sleep(0.02)
        console.child.closed = console.child.ptyproc.closed = True


def lost(home):
    console = started(home)
    console.type("lost\r")
    console.sees("error: the daemon went away")
    console.sees("not done again: lost; the next input connects anew")
    console.at_prompt()
    console.type("next\r")
    console.sees("connected again; the variables of the session before are gone")
    console.sees('"next"')


def dead(home):
    console = Console(home, DOUBLE_DEAD="1")
    console.sees("no daemon listens")
    console.at_prompt(prompt="paper> ")
    console.type("keyr\t")
    console.at_prompt("keyr", prompt="paper> ")
    console.type("x\r")
    console.sees("hint: Start it.")
    console.at_prompt(prompt="paper> ")
    console.type("\x04")
    expect(console, console.ends() == 0, "Ctrl-D leaves")


def completion(home):
    console = started(home)
    console.type("keyr\t")
    console.at_prompt("keyrings.")
    console.sees("keyrings.list  keyrings.show")
    console.type("s\t(")
    console.sees("  keyrings.show(name)")
    console.at_prompt("keyrings.show(")
    console.type("\x03\\w\t")
    console.at_prompt("\\watch")


def questions(home):
    console = started(home)
    # What was typed ahead is no answer.
    console.type("rotate\rmain\r")
    console.sees('Type "main" to go ahead:')
    console.pump(0.5)
    expect(console, console.line == 'Type "main" to go ahead:', "it still asks")
    console.type("mian\r")
    console.sees("error: not confirmed")
    console.at_prompt()
    console.type("rotate\r")
    console.until(lambda: console.line == 'Type "main" to go ahead:', "it asks again")
    console.type("\x03")
    console.until(lambda: sum("error: not confirmed" in line for line in console.lines) == 2, "Ctrl-C declines")
    console.at_prompt()
    console.type("secret\r")
    console.until(lambda: console.line == "Passphrase:", "it asks for a secret")
    console.type("hunter2\r")
    console.sees('"got 7 characters"')
    expect(console, b"hunter2" not in console.raw, "a secret is not shown")


def ahead(home):
    console = started(home, rows=500)
    wanted = [f"line {number}" for number in range(200)]
    for line in wanted:
        # Some keys come while an input is worked on, some with those that follow it.
        console.child.send(f"print {line}\r")
        time.sleep(0.002)
    console.until(lambda: console.lines.count(wanted[-1]) == 1, "the last one is printed")
    console.at_prompt()
    shown = [line for line in console.lines if line.startswith("line ")]
    expect(console, shown == wanted, "what is typed ahead is worked on in its order")


def pager(home):
    console = started(home, PAGER="sh -c 'head -n 3'")
    console.type("rows 5\r")
    console.sees("row 4")
    console.at_prompt()
    console.type("rows 3000\r")
    console.until(lambda: sum("row 0 " in line for line in console.lines) == 2, "the pager shows the beginning")
    console.at_prompt()
    expect(console, not any("row 2 " in line for line in console.lines[-4:]), "the pager was left early")
    broken = started(home, PAGER="/no/such/pager")
    broken.type("rows 30\r")
    broken.sees("row 29")


def commands(home):
    console = started(home)
    console.type("\\?\r")
    console.sees("\\watch N EXPR")
    console.type("\\o json\rx\r")
    console.sees('"result" : "x"')
    console.type("\\o table\r\\x\rrows 1\r")
    console.sees("-- 1")
    console.type("\\timing\rx\r")
    console.sees("time: ")
    console.type("\\nonsense\r")
    console.sees('there is no command "\\nonsense"')
    console.type("\\history 3\r")
    console.sees("\\nonsense")
    console.at_prompt()
    console.type("local a = 5\r")
    console.sees('what is local is gone with this input; without "local" it stays')
    console.at_prompt()
    console.type("\\watch 0.2 again\r")
    console.until(lambda: sum('"again"' in line for line in console.lines) > 2, "it is shown again and again")
    console.type("\x03")
    console.at_prompt()


def farewell(home):
    for word in ("exit", "quit", "exit()", " quit "):
        console = started(home)
        console.type(word + "\r")
        console.ends()


def suspension(home):
    console = Console(home, program=["bash", "--norc", "-i"], PS1="shell$ ")
    console.sees("shell$")
    console.type(f"{PROGRAM}\r")
    console.at_prompt()
    console.type("half")
    console.at_prompt("half")
    console.type("\x1a")
    console.sees("Stopped")
    console.until(lambda: console.line == "shell$", "the shell is back")
    console.type("fg\r")
    console.at_prompt("half")
    console.type(" whole\r")
    console.sees('"half whole"')
    console.at_prompt()
    console.type("\x04")
    console.until(lambda: console.line == "shell$", "the shell is back")
    console.type("stty -a | grep -o ' echo '\r")
    console.sees(" echo")


CASES = {
    case.__name__: case
    for case in (
        editing, wide, paste, mebibyte, resize, interrupts, abandoned, history, invalid, colour, dumb, pipes, scripts, hangup,
        lost, dead, completion, questions, ahead, pager, commands, suspension, farewell)
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="keyturn-console.") as place:
        os.environ["DOUBLE_INSTANCE"] = "/srv/paper"
        CASES[sys.argv[2]](place)
