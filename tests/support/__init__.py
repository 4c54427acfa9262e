"""What tests share. From the bottom up:

- polling: wait for a condition, with a deadline
- source: the package's source as syntax trees, for tests that read instead of run
- history: what was sent and received, checked against what is promised
- hygiene: what a test left running or open
- examples: run example programs, or import their parts
- terminal: run a program where Ctrl-C can be typed
"""
