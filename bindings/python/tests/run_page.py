"""Runs the code blocks of one page for `test_docs.py`: `run_page.py TASK RESULTS`."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any


class Output(io.TextIOBase):
    """The output of a block: kept, copied to stdout, and searched for a text.

    At the end of the first line that completes the text, this process gets a signal.
    """

    def __init__(self) -> None:
        self.text, self.wanted, self.number = "", None, signal.SIGINT

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        sys.__stdout__.write(text)
        if text.endswith("\n") and self.seen():
            self.wanted = None
            os.kill(os.getpid(), self.number)
        return len(text)

    def seen(self) -> bool:
        return self.wanted is not None and self.wanted in self.text


class Page:
    def __init__(self, replaced: dict[str, str]) -> None:
        self.replaced = replaced
        self.output = sys.stdout = Output()
        self.names: dict[str, Any] = {
            "__name__": "__main__",
            "replace": self.replace,
            "interrupt": self.interrupt,
            "terminate": self.terminate,
        }

    def replace(self, shown: str, real: str) -> None:
        self.replaced[shown] = real

    def interrupt(self, text: str) -> None:
        self.output.wanted, self.output.number = text, signal.SIGINT

    def terminate(self, text: str) -> None:
        self.output.wanted, self.output.number = text, signal.SIGTERM

    def real(self, code: str) -> str:
        for shown, real in self.replaced.items():
            code = code.replace(shown, real)
        return code

    def run(self, name: str, block: dict[str, Any]) -> str:
        self.output.text = ""
        what, code = block["what"], block["code"]
        if what == "setup":
            exec(compile(code, f"{name}:{block['line']}", "exec"), self.names)
            return self.output.text
        if what == "program":
            return self.program(self.real(code))
        stops = self.output.wanted is not None
        lines = "\n" * (block["line"] - 1) + self.real(code)
        try:
            exec(compile(lines, name, "exec", dont_inherit=True), self.names)
        except (KeyboardInterrupt, SystemExit):
            if not stops:
                raise
        assert self.output.wanted is None, f"the block did not print: {self.output.wanted}"
        return self.output.text

    def program(self, code: str) -> str:
        """Run the code in a process of its own, which gets the signal instead of this one."""
        wanted, self.output.wanted = self.output.wanted, None
        text = ""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "program.py"
            file.write_text(code)
            command = [sys.executable, "-W", "error", str(file)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                deadline = threading.Timer(90, process.kill)
                deadline.start()
                for line in process.stdout:
                    text += line
                    if wanted is not None and wanted in text:
                        wanted = None
                        process.send_signal(self.output.number)
            deadline.cancel()
        assert wanted is None, f"the program did not print: {wanted}"
        assert process.returncode in (0, -signal.SIGINT), process.returncode
        sys.__stdout__.write(text)
        return text


def main(task: str, results: str) -> None:
    parameters = json.loads(Path(task).read_text())
    page = Page(parameters["replaced"])
    printed = [page.run(parameters["page"], block) for block in parameters["blocks"]]
    for node in page.names.values():
        if hasattr(node, "is_open"):
            node.close()
    Path(results).write_text(json.dumps(printed))


if __name__ == "__main__":
    main(*sys.argv[1:])
