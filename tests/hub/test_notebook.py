"""Coroutines in a notebook: a real IPython kernel that runs cells, in a process of its own."""

import os
import queue
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import program_environment
from tests.support.polling import poll_until

pytest.importorskip("ipykernel", reason="ipykernel is not installed")
jupyter_client = pytest.importorskip("jupyter_client", reason="jupyter_client is not installed")

FIRST_CELL = """
from greencoro import Coro, CoroTerminated, DeadlineExceeded, Terminated, WouldBlock, sleep
"""

# While the cell that starts it waits for something.
SAYS_SO = """
def says_so():
    sleep(0.1)
    print("it waits now", flush=True)
"""


class Notebook:
    """A kernel, and who runs cells in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        connection = str(directory / "kernel.json")
        jupyter_client.connect.write_connection_file(connection, transport="ipc", ip=str(directory / "ipc"))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ipykernel_launcher", "-f", connection],
            env=program_environment(
                IPYTHONDIR=str(directory), JUPYTER_PLATFORM_DIRS="1", PYDEVD_DISABLE_FILE_VALIDATION="1"
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._client = jupyter_client.BlockingKernelClient(connection_file=connection)
        self._client.load_connection_file()
        self._client.start_channels()
        #: What came on the streams, from whichever cell.
        self.output = ""
        self._client.wait_for_ready(timeout=30)
        self.run(FIRST_CELL)

    def run(self, cell: str, interrupt_when: str | None = None, timeout: float = 20) -> dict[str, Any]:
        """Run a cell to its end.

        Args:
            interrupt_when (str | None): Interrupt the kernel (the notebook's stop button, or Ctrl-C) once the cell has
                printed this.

        Returns:
            dict: ``text`` (what the cell printed), ``result`` (its last expression's repr), ``error`` (the name of what
            ended it).
        """
        request = self._client.execute(textwrap.dedent(cell))
        ran: dict[str, Any] = {"text": "", "result": None, "error": None}
        deadline = time.monotonic() + timeout
        while True:
            message = self._next(deadline)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                ran["text"] += content["text"]
                if interrupt_when is not None and interrupt_when in ran["text"]:
                    interrupt_when = None
                    self.process.send_signal(signal.SIGINT)
            elif kind == "execute_result":
                ran["result"] = content["data"]["text/plain"]
            elif kind == "error":
                ran["error"] = content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                return ran

    def _next(self, deadline: float) -> dict[str, Any]:
        try:
            message: dict[str, Any] = self._client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            pytest.fail(f"the cell did not end in time; so far the kernel printed {self.output!r}", pytrace=False)
        if message["msg_type"] == "stream":
            self.output += message["content"]["text"]
        return message

    def value_of(self, expression: str) -> Any:
        """The repr of an expression's value."""
        ran = self.run(expression)
        assert ran["error"] is None, ran
        return ran["result"]

    def printed(self, text: str) -> bool:
        """Whether this has been printed by now, by any cell's coroutines."""
        while text not in self.output:
            try:
                message = self._client.get_iopub_msg(timeout=0)
            except queue.Empty:
                return False
            if message["msg_type"] == "stream":
                self.output += message["content"]["text"]
        return True

    def shut_down(self) -> int:
        """Ask the kernel to end; its status. One that would wait for its coroutines does not end."""
        self._client.shutdown()
        return self.process.wait(timeout=20)

    def close(self) -> None:
        self._client.stop_channels()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Notebook]]:
    notebooks: list[Notebook] = []

    def start_one() -> Notebook:
        notebooks.append(Notebook(tmp_path_factory.mktemp("k")))
        return notebooks[-1]

    yield start_one
    for each in notebooks:
        each.close()


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """One kernel for the tests that leave it as it was."""
    one = Notebook(tmp_path_factory.mktemp("k"))
    yield one
    one.close()


def test_a_cell_makes_coroutines_and_later_cells_use_them(notebook: Notebook) -> None:
    notebook.run(
        """
        def adds(coro):
            total = 0
            while (message := coro.receive()) is not None:
                total += message
            return total
        adder = Coro(adds)
        """
    )
    assert notebook.value_of("[adder.send(n) for n in range(10)]") == "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"
    assert notebook.value_of("adder.is_alive(), adder.deliver(10), adder.send(None)") == "(True, 1, 0)"
    assert notebook.value_of("adder.value(10), adder.is_alive()") == "(55, False)"


def test_value_waits_in_a_cell_and_coroutines_go_on_between_cells(notebook: Notebook) -> None:
    notebook.run(
        """
        turns = [0]
        def counts():
            while True:
                turns[0] += 1
                sleep(0.005)
        counter = Coro(counts)
        """
    )
    before = int(notebook.value_of("turns[0]"))
    poll_until(lambda: int(notebook.value_of("turns[0]")) > before + 2)
    assert notebook.value_of("Coro(lambda: (sleep(0.05), 'waited')[1]).value(10)") == "'waited'"
    assert notebook.value_of("counter.terminate()") == "0"
    assert notebook.run("counter.value(10)")["error"] == "CoroTerminated"


def test_a_cell_may_await_a_coroutine(notebook: Notebook) -> None:
    assert notebook.value_of("await Coro(lambda: (sleep(0.02), 'awaited')[1]).wait()") == "'awaited'"
    assert notebook.run("await Coro(lambda coro: coro.receive()).wait(0.01)")["error"] == "DeadlineExceeded"
    notebook.run(
        """
        def reads(coro):
            coro.suspend()
            return list(iter(coro.receive, None))
        reader = Coro(reads)
        reader.max_mailbox = 1
        while reader._suspension is None:
            sleep(0.001)
        """
    )
    assert notebook.value_of("reader.send('first')") == "0"
    assert notebook.run("reader.send('would block')")["error"] == "WouldBlock"
    notebook.run("sending = __import__('asyncio').ensure_future(reader.send_async('second'))")
    assert notebook.value_of("sending.done(), reader.resume(), await sending, await reader.send_async(None)") == (
        "(False, 0, 0, 0)"
    )
    assert notebook.value_of("await reader.wait(10)") == "['first', 'second']"


def test_what_a_coroutine_prints_appears(notebook: Notebook) -> None:
    ran = notebook.run("Coro(lambda: print('printed', 'while the cell', 'waits', sep=' ')).value(10)")
    assert "printed while the cell waits" in ran["text"] or notebook.printed("printed while the cell waits")
    notebook.run(
        """
        def speaks_later():
            sleep(0.1)
            print("said when no cell runs")
        Coro(speaks_later)
        """
    )
    poll_until(lambda: notebook.printed("said when no cell runs"))


def test_what_a_coroutine_raises_appears_and_the_kernel_lives_on(notebook: Notebook) -> None:
    notebook.run("def fails():\n    raise ValueError('of the coroutine')\nfailed = Coro(fails)")
    poll_until(lambda: notebook.printed("ValueError: of the coroutine"))
    assert notebook.run("failed.value(10)")["error"] == "ValueError"
    assert notebook.value_of("1 + 1") == "2"


def test_interrupting_a_cell_that_waits_ends_the_cell_and_no_coroutine(notebook: Notebook) -> None:
    notebook.run("def waits(coro):\n    return coro.suspend()\nwaiter = Coro(waits)\n" + SAYS_SO)
    for wait in ("waiter.value()", "waiter.value(60)", "waiter.call(1)", "sleep(60)"):
        ran = notebook.run(f"Coro(says_so)\n{wait}", interrupt_when="it waits now")
        assert ran["error"] == "KeyboardInterrupt", (wait, ran)
        assert notebook.value_of("waiter.is_alive()") == "True"
    assert notebook.value_of("waiter.resume('went on'), waiter.value(10)") == "(0, 'went on')"
    assert notebook.value_of("Coro(lambda: 'new ones work').value(10)") == "'new ones work'"


def test_the_kernel_shuts_down_though_coroutines_wait_for_ever(start: Callable[[], Notebook]) -> None:
    notebook = start()
    marker = notebook.directory / "cleaned up"
    notebook.run(
        f"""
        def waits(coro):
            try:
                coro.receive()
            finally:
                open({str(marker)!r}, "w").close()
        coros = [Coro(waits) for _ in range(3)]
        while any(coro._mailbox._receiver is None for coro in coros):
            sleep(0.001)
        """
    )
    assert notebook.shut_down() == 0
    assert marker.exists()


def test_the_kernel_shuts_down_after_an_interrupt(start: Callable[[], Notebook]) -> None:
    notebook = start()
    notebook.run("waiter = Coro(lambda coro: coro.receive())\n" + SAYS_SO)
    assert notebook.run("Coro(says_so); waiter.value()", interrupt_when="it waits now")["error"] == "KeyboardInterrupt"
    assert notebook.value_of("waiter.send(5), waiter.value(10)") == "(0, 5)"
    assert notebook.shut_down() == 0


def test_the_kernel_is_a_process_of_its_own(notebook: Notebook) -> None:
    assert int(notebook.value_of("__import__('os').getpid()")) == notebook.process.pid != os.getpid()
