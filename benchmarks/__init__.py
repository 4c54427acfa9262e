"""How fast greencoro is, beside its peers: one question a file, every side measured in the same run.

``python -m benchmarks [names] [--quick] [--json FILE]``, or ``scripts/bench``, which prepares what it needs first.

The frame, from the bottom up, each using only those above it:

- question: what is asked, of whom, and what is hoped for
- spread: how far the figures of several rounds lie apart
- machine: what the figures were taken on
- measure: wall time and CPU time of a whole system of processes
- processes: a side's processes, ended for certain
- side: the program in which one side runs
- rounds: every side of a question, in turn, in fresh processes
- report: what a person reads
- greencoro_setup: how greencoro is started here, for what is asked of two processes and for jobs
- legacy_setup: how greencoro's modules for asyncoro's programs are had here
- pycos_setup: how pycos is started here, for what is asked of two processes and for jobs
- rpyc_setup: how rpyc is started here
- execnet_setup: how execnet is started here
- dask_setup: how Dask is started here
- loopback: puts this process where there is no network but loopback
- ray_setup: how Ray is started here
- erlang_nodes: how two nodes of Erlang are run; uses what `local` has for one

The questions: those of `local`, about one process; round_trip, one_way, outstanding, bulk, file, about two; and about
servers and jobs: jobs, cpu_jobs, busy_server, start_up, idle_memory. `programs` has the programs that start_up starts,
as a user would write them.
"""
