"""Ship code to servers, run it there. From the bottom up, each using only those above it:

- shown: facts as people are shown them
- status: what a computation's status coroutine is told
- placement: which server a job goes to
- avail_info: how much of a node is free
- filters: which nodes a computation accepts
- versions: the order of version numbers
- requirements: what of the packages that a computation needs a server lacks
- hook_functions: which functions a computation has run around its jobs
- terms: on what terms a computation is scheduled
- parts: what travels when code is shipped, in a fixed layout
- scattered: objects that every server of a computation has once
- modules: which modules are the user's own
- references: which names of other things a code object uses
- rebuild: the making of shipped functions and classes where they arrive
- homes: where a thing can be found by a name
- classes: what the definition of a class carries
- by_value: things of the client's main module as pickles
- culprit: the path to what cannot be pickled
- remembered: what was made lately, to be found by what it was made from
- packaging: a function with all that it needs
- confined_files: files that stay inside their directory
- loader: what was packed, installed in a server process
- words: what the words that processes say to each other are made of
- node_words: what a node daemon and the holder of its lease say to each other
- client_words: what a client and the scheduler of its computations say to each other
- output_book: what jobs print, on its way to the client
- job_words: what a client and the servers of its computation say to each other around jobs
- last_words: what a server process leaves behind for its daemon, however it ends
- death: how a server process ended, in words for people
- scheduler_vocabulary: what can happen to a scheduler, what it can order
- scheduler_records: what a scheduler knows of each computation, node and server
- scheduler_servers: the decisions of a scheduler about servers
- scheduler_state: the decisions of a scheduler
- scheduler_report: what a scheduler is at, for people
- terminal: says things to the person who waits
- big_parts: contents too large for one message, on their way in pieces
- server_pool: the servers of one computation as its client sees them
- client_vocabulary: what the decisions of a computation at its client order its shell to do
- client_phase: what a computation is at
- client_state: the decisions of a computation at its client
- node_vocabulary: what the decisions of a node daemon order its shell to do
- slots: the places of a node for server processes
- pulse_clock: who has been silent for too long
- client_book: what a scheduler keeps of computations whose clients are in other processes
- lease_clock: when a node's lease is over by time
- lease: who has the servers of a node, and how long
- service_hours: at which times of day a node is in service
- hours_watch: when a node looks at the clock on the wall
- node_phase: what a node is at
- limits: what a server process may use
- node_options: what a node daemon is started with
- node_report: what a node daemon says of itself
- node_state: the decisions of a node daemon
- server_words: what a node daemon and a server process of it say to each other
- removal: removes directories that jobs have left
- directories: where a daemon and its servers keep files
- service_lock: the lock that keeps a second daemon from a service that one offers already
- inbox: things to do, from any thread to one
- control_groups: the control groups that this process is in
- cpu_count: how many CPUs this process may use
- platform_name: what this machine runs on
- availability: measures what of this machine is free
- confinement: makes a process one that may use only so much
- child: a child process that speaks JSON lines with its parent
- job_environment: the environment of server processes
- guard: the process that ends what a dead zygote's servers started
- launching: how a node daemon comes by a server process
- zygote_words: what a node daemon and its zygote say to each other
- zygote_link: a node daemon's way to its zygote
- slot_ports: the listed ports of a node's servers
- server: a node daemon's handle to one server process
- server_crew: the server processes of a node daemon
- survey: what finds out what a node daemon says of itself
- holders: a node daemon's end of what it and those who reserve it say to each other
- node: the shell of the node daemon
- job: what may be asked for a job, what it can come to
- time_limit: the time limit of a job in a server process
- spawned_main: the main module of processes that jobs start through multiprocessing
- job_processes: makes multiprocessing work in jobs
- installed: which versions of packages are installed for this interpreter
- job_listener: what hears of the jobs of a server process
- job_host: what runs the jobs in a server process
- output: what jobs print and log, taken from the streams of a server process
- lineage: what the kernel does for a process about its parent and its descendants
- group_signals: outlasts a signal to a whole group of processes
- client_end: a server process's way to the client of its computation
- siblings: finding by name what jobs at the other servers of the computation have registered
- idleness: whether a server process has jobs, as its daemon is told
- server_process: what a server process does
- fork_checks: whether this process can be forked
- keeper: the parent of one server process, which waits for everything that ends below the server
- zygote_state: the decisions of a zygote
- zygote: the process that a node daemon's servers are forked from
- posting: what is sent to a server without an answer to be waited for
- shipping: what each server has been sent of a computation's code
- job_state: the decisions of one job at its client
- submission: one attempt of a job as its client sees it
- output_display: shows at the client what its jobs print
- server_news: what the servers of a computation tell its client beside the ends of jobs
- job_transport: how jobs get to where they run
- inline: a server that is this process
- status_feed: the way of a computation's news to its status coroutine
- node_finder: what looks for node daemons
- node_client: what a scheduler asks of node daemons
- node_news: what nodes tell the scheduler that has reserved them
- pulses: asks others whether they are alive
- turn: what a scheduler does again and again while a computation has its turn
- job_log: what became of the last jobs of a client
- job_journal: the log of this process's jobs, for any thread
- explain_door: a socket at which this process tells other programs of its user what became of its jobs
- unpickling: which runtimes have part in computations
- scheduler: the shell of the scheduler
- ordered_posts: words to one peer in their order
- remote_scheduler: a client's way to a scheduler in another process
- scheduler_daemon: the batch scheduler
- scheduler_link: a client's way to the scheduler of its computations
- hooks: what a computation has done at every node and server before its jobs run there, and when it is closed
- client: the shell of one computation's own end
- job_handle: one job as its client sees it, from its first attempt to its one outcome
- claims: jobs counted for servers, waits for these
- unheard: says of jobs that have failed what nobody has asked for
- job_launcher: what sends the jobs of one computation to its servers
- run_many: one job at each of several servers
- declaration: what sends the jobs of a computation that is declared
- computation: what the user declares once, and calls
- lanes: which of its servers takes the next job of a RemoteCoroScheduler
- look_ahead: how much of an input is taken out of it before its results are wanted
- dispatcher: what gives the jobs of one scheduler places at servers
- imap: many elements on their way through servers
- server_hooks: what is called when servers come and go
- jobs: RemoteCoroScheduler
- own_node: a node daemon that this process has started
- cluster_parts: what a LocalCluster is made of
- cluster: LocalCluster
- progress: how far many jobs have come
- progress_display: shows how far many jobs have come
- futures: futures that coroutines and threads may wait for
- waiting_calls: the calls of an executor that wait for a server
- future_teller: tells futures what became of their jobs
- feeder: what sends the calls of an executor to servers
- workplace: where the calls of an executor run
- future_map: the results of many calls in their order
- executor: Executor
"""

from __future__ import annotations

__all__ = ["MaxPulseInterval", "MinPulseInterval", "MsgTimeout"]

# Each may be assigned, and is read when a computation is made.

#: Default of `Computation.timeout` in seconds.
MsgTimeout: float = 10.0

#: Limits of a computation's ``pulse_interval`` in seconds; the default is twice the lower one.
MinPulseInterval: float = 10.0
MaxPulseInterval: float = 100.0
