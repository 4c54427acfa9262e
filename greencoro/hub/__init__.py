"""One process, many coroutines. From the bottom up, each using only those above it:

- native: unpatched locks, events, threads, time; the only source of them
- waiting: what a timeout may be
- lifecycle: the states of a coroutine, in one table
- binding: whether a function can be called with given arguments
- userhub: the hub on which every coroutine runs; its ready queue, its doorway for other threads
- workers: the pool of greenlets that carry coroutines
- completion: a one-shot outcome that any thread can wait for
- awaiting: waiting with await, where the loop is asyncio's
- process_settings: the settings of the process
- room: who waits for room in a full mailbox
- mailbox: the queue of messages of one coroutine
- names: what is registered here, by kind and name
- observers: who hears of a coroutine's end
- exit: the end of the process waits for coroutines, then stops what turns
- hot_swap: what a coroutine goes on as
- requests: messages that want an answer
- execution: a function on its way over the hub
- coroutine: Coro, the handle that users hold
"""
