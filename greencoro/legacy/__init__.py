"""Names, return codes and quirks of asyncoro 4.2.1, for programs that were written for it, and the names that its
successor pycos gave them. What they need of mechanisms is in the layers below. From the bottom up, each using only
those above it:

- version: the version of asyncoro
- logger: lines with a time and a name
- singleton: classes of which there is one object
- scheduler: AsynCoro, what runs the coroutines
- signatures: how the function of a coroutine is called
- locating: how long a name is looked for at a place
- coro: coroutines
- channel: channels
- categories: messages of one coroutine, sorted
- sync: locks, conditions, events, semaphores
- location: the place of a process among its peers
- serialization: objects as bytes
- sockets: AsyncSocket as it was
- database: a database cursor whose queries let others run
- asyncfile: ``asyncoro.asyncfile``, files and pipes
- asyncoro: the module of that name
- references: coroutines and channels of other processes
- rci: functions that peers may start here
- network: AsynCoro between processes
- disasyncoro: ``asyncoro.disasyncoro``, the same between processes
- pycos_version: the version of pycos
- pycos_config: ``pycos.config``, its constants
- pycos_scheduler: Pycos, what runs the tasks
- monitor_status: how a task ended
- task: tasks, pycos' coroutines
- pycos: the module of that name
- rps: generator functions that peers may start here as tasks
- pycos_network: Pycos between processes
- netpycos: ``pycos.netpycos``, the same between processes
- sub_calls: methods that are called by ``yield``
- discoro_words: what computations and their status coroutines say
- creating: whether a server could make the coroutine of a job
- status_news: what a status coroutine is told
- private_scheduler: the scheduler of computations, in the client's process
- aliases: the old names of these modules
- server_jobs: jobs in server processes
- discoro: ``asyncoro.discoro``, computations
- discoro_schedulers: ``asyncoro.discoro_schedulers``, jobs that compute, one at a time at every server
- dispycos_words: what pycos' clients and their status tasks say
- dispycos: ``pycos.dispycos``, clients
- exec_idiom: what ``exec`` defines in a function, for ``locals()`` to find
- spelling: an old way to write something, and the native one
- spellings: the table of them
- kinds: what the names in a program's text stand for
- old_calls: where the text has something of asyncoro's, and what it would be natively
- explain: ``--explain``, a program line by line
- launcher: ``python -m greencoro.legacy``, which runs such a program
"""

from __future__ import annotations

__all__ = ["install"]


def install() -> None:
    """Have ``import asyncoro``, and ``import pycos``, and of their modules, find what is here; may be called again.

    Packages of these names that are installed are not found any more.
    """
    from greencoro.legacy.aliases import add

    add()
