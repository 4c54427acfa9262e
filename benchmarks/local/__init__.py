"""Questions about coroutines of one process, where nothing crosses a socket.

What they share, from the bottom up, each using only those above it:

- event_loops: the two loops that run asyncio's coroutines
- erlang: how the program in Erlang is run and told what to do; the program itself is `peers.escript`
- parking: starts, parks and ends many coroutines of each system, a phase at a time

The questions: ping_pong, ring, fan_in, broadcast, spawn, park, memory, sleepers, finishers.
"""
