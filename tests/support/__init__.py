"""What tests share. From the bottom up:

- polling: wait for a condition, with a deadline
- source: the package's source as syntax trees, for tests that read instead of run
- history: what was sent and received, checked against what is promised
- process_history: the same for several processes, where connections break, with the events of peers and monitors
- member: a program that does what a test tells it, and writes its history
- members: such processes, for faults to hit
- hygiene: what a test left running or open
- examples: run example programs, or import their parts
- terminal: run a program where Ctrl-C can be typed
"""
