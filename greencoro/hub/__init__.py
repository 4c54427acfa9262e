"""One process, many coroutines. From the bottom up, each using only those above it.

The ground, which knows no coroutines:

- patching: gevent's monkey patch of the standard library
- native: unpatched locks, events, threads, time; the only source of them
- forks: what a process that was forked may have of its parent's
- frames: what other threads and greenlets run, read in one moment
- waiting: what a timeout may be
- telling: lines for people that also reach those who set up no logging
- process_settings: the settings of the process
- late_signals: signals that come in the instant before the main thread's hub waits
- userhub: the hub on which every coroutine runs; its ready queue, its doorway for other threads
- completion: a one-shot outcome that any thread can wait for
- waiting_aloud: waiting that says what is waited for
- awaiting: waiting with await, where the loop is asyncio's

A coroutine, from its parts to the handle:

- lifecycle: the states of a coroutine, in one table
- binding: whether a function can be called with given arguments
- workers: the pool of greenlets that carry coroutines
- room: who waits for room in a full mailbox
- mailbox: the queue of messages of one coroutine
- names: what is registered here, by kind and name
- observers: who hears of a coroutine's end
- whereabouts: where a coroutine stands in its program's code
- watchdog: which coroutine keeps the hub from turning
- stuck: who waits for what nobody is left to bring
- interrupts: Ctrl-C once the script is over
- exit: the end of the process waits for coroutines, then stops what turns
- hot_swap: what a coroutine goes on as
- requests: messages that want an answer
- call_sites: which calls of a generator have their result yielded at once
- generators: the trampoline that runs a generator with its sub-generators
- routine: a generator coroutine's way over the hub
- execution: a function on its way over the hub
- ends: how others learn of a coroutine's end
- coroutine: Coro, the handle that users hold
- deferring: one whose generator waits at its next yield, wherever the call was made
- stacks: the stacks of all coroutines, as text
- instants: at which instructions an exception does the least harm
- preemption_rules: whether a coroutine that computes may be interrupted
- preemption: ends coroutines that compute

What coroutines do with each other:

- fan_out: one message to many recipients
- passing: how a message that goes through channels came so far
- transforms: the function of a channel that makes one message of another
- walk: the way of a message through channels
- nesting: which channels stand under which
- channel: one message to those who subscribed
- categories: messages of one coroutine, sorted
- timers: a message or a call, later or again and again
- supervision: what a supervisor does about a child that ended
- supervisor: a coroutine that starts others again when they fail
- permits: permits to go on, in the order asked for
- sync: locks, conditions, events, semaphores
- thread_pool: native threads for what would block the hub

The world outside:

- framing: messages on a stream of bytes
- readiness: waiting until a descriptor can be read or written
- tls_session: the TLS of one connection as bytes in, bytes out
- endpoint: one raw socket, shared by all that was wrapped around it
- socket_io: what is done with a socket, tried at once and waited for where it must be
- transfers: sending and receiving, as users call it
- sockets: AsyncSocket
- descriptors: bytes in and out of any descriptor
- files: AsyncFile
- waiting_io: Python's file objects on a descriptor that lets others run
- children: child processes whose end any place can wait for
- together: several functions of one caller, run beside each other
- pipes: AsyncPipe: other programs, talked to through their pipes
- main_program: a program run as ``__main__`` in this process
- popen: Popen: other programs, started from any place
"""
