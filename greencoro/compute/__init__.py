"""Ship code to servers, run it there. From the bottom up, each using only those above it:

- status: what a computation's status coroutine is told
- placement: which server a job goes to
- avail_info: how much of a node is free
- filters: which nodes a computation accepts
- versions: the order of version numbers
- requirements: what of the packages that a computation needs a server lacks
- parts: what travels when code is shipped, in a fixed layout
- modules: which modules are the user's own
- references: which names of other things a code object uses
- rebuild: the making of shipped functions and classes where they arrive
- homes: where a thing can be found by a name
- classes: what the definition of a class carries
- by_value: things of the client's main module as pickles
- culprit: the path to what cannot be pickled
- packaging: a function with all that it needs
- confined_files: files that stay inside their directory
- loader: what was packed, installed in a server process
- words: what the words that processes say to each other are made of
- node_words: what a node daemon and the holder of its lease say to each other
- client_words: what a client and the scheduler of its computations say to each other
- output_book: what jobs print, on its way to the client
- scheduler_vocabulary: what can happen to a scheduler, what it can order
- scheduler_records: what a scheduler knows of each computation, node and server
- scheduler_state: the decisions of a scheduler
- server_pool: the servers of one computation as its client sees them
- client_state: the decisions of a computation at its client
- node_vocabulary: what the decisions of a node daemon order its shell to do
- slots: the places of a node for server processes
- pulse_clock: who has been silent for too long
- lease_clock: when a node's lease is over by time
- service_hours: at which times of day a node is in service
- node_state: the decisions of a node daemon
- limits: what a server process may use
- node_options: what a node daemon is started with
- server_words: what a node daemon and a server process of it say to each other
- directories: where a daemon and its servers keep files
- service_lock: the lock that keeps a second node daemon from a service that one offers already
- inbox: things to do, from any thread to one
- control_groups: the control groups that this process is in
- cpu_count: how many CPUs this process may use
- availability: measures what of this machine is free
- confinement: makes a process one that may use only so much
- child: a child process that speaks JSON lines with its parent
- guard: the process that ends what a dead daemon's servers started
- launching: how a node daemon comes by a server process
- server: a node daemon's handle to one server process
- holders: a node daemon's end of what it and those who reserve it say to each other
- node: the shell of the node daemon
- job_host: what runs the jobs in a server process
- server_process: the program inside a server process
- posting: what is sent to a server without an answer to be waited for
- shipping: what each server has been sent of a computation's code
- job: what a job can come to
- submission: one job as its client sees it
- job_transport: how jobs get to where they run
- status_feed: the way of a computation's news to its status coroutine
- node_finder: what looks for node daemons
- job_log: what became of the last jobs of a computation
- scheduler: the shell of the scheduler
- scheduler_link: a client's way to the scheduler of its computations
- client: the shell of one computation's own end
- job_launcher: what sends the jobs of one computation to its servers
- computation: what the user declares once, and calls
- jobs: RemoteCoroScheduler
- cluster: LocalCluster
"""

from __future__ import annotations

__all__ = ["MsgTimeout"]

#: Default of `Computation.timeout` in seconds; may be assigned, and is read when a computation is made.
MsgTimeout: float = 10.0
