"""What programs for asyncoro write, and how greencoro's own programs write it: the one table of it, and no code.

`greencoro legacy --explain` shows it for the lines of a program; the manual's page on migration has all of it.
"""

from __future__ import annotations

from functools import partial

from greencoro.legacy.spelling import Spelling

__all__ = ["BY_NAME", "PAUSE", "RETURN", "SPELLINGS", "SUB_CALL"]

_SAME = "{of}.{name}({args})"
_TIMEOUT = "timeout=None"
_ANSWER = f"{_TIMEOUT}, alarm_value=None"
_JOB = "function, *args, **kwargs"


def _of(
    module: str, owner: str, of: str, name: str, native: str = _SAME, arguments: str = "", **more: object
) -> Spelling:
    return Spelling(module, owner, name, native.replace("{name}", name), arguments, of, **more)  # type: ignore[arg-type]


def _here(
    module: str, name: str, native: str = "{name}({args})", arguments: str | None = "", **more: object
) -> Spelling:
    return Spelling(module, "", name, native.replace("{name}", name), arguments, **more)  # type: ignore[arg-type]


_LOCAL, _NET, _FILES = "asyncoro", "asyncoro.disasyncoro", "asyncoro.asyncfile"
_JOBS, _SCHEDULERS = "asyncoro.discoro", "asyncoro.discoro_schedulers"
_coro = partial(_of, _LOCAL, "Coro", "coro")
_Coro = partial(_of, _LOCAL, "Coro", "Coro")
_channel = partial(_of, _LOCAL, "Channel", "channel")
_Channel = partial(_of, _LOCAL, "Channel", "Channel")
_categories = partial(_of, _LOCAL, "CategorizeMessages", "categories")
_pool = partial(_of, _LOCAL, "AsyncThreadPool", "pool")
_cursor = partial(_of, _LOCAL, "AsyncDBCursor", "cursor")
_scheduler = partial(_of, _LOCAL, "AsynCoro", "scheduler")
_AsynCoro = partial(_of, _LOCAL, "AsynCoro", "AsynCoro")
_socket = partial(_of, _LOCAL, "AsyncSocket", "sock")
_file = partial(_of, _FILES, "AsyncFile", "file")
_pipe = partial(_of, _FILES, "AsyncPipe", "pipe")
_peers = partial(_of, _NET, "AsynCoro", "scheduler", is_yielded=True)
_network = partial(_of, _NET, "AsynCoro", "scheduler")
_rci = partial(_of, _NET, "RCI", "rci")
_computation = partial(_of, _JOBS, "Computation", "computation", is_yielded=True)
_jobs = partial(_of, _SCHEDULERS, "RemoteCoroScheduler", "jobs", is_yielded=True)

#: In generator functions, beside calls.
RETURN = Spelling(
    _LOCAL,
    "",
    "raise StopIteration",
    "return {args}",
    "value",
    note="A function without a yield in it is a plain one, which returns what it says. What the last yield evaluated "
    "to is the result of generator functions alone.",
)
PAUSE = Spelling(_LOCAL, "", "yield", "sleep(0)", note="It lets others run once.")
SUB_CALL = Spelling(
    _LOCAL,
    "",
    "",
    "{of}({args})",
    "*args",
    "function",
    is_yielded=True,
    note="Where the function was made a plain one as well; a generator is run by a yield only.",
)

_ENDS = (
    "What its function raised is raised here, and CoroTerminated where it was terminated; of those it was the last "
    "value. DeadlineExceeded where the time is over, in place of None."
)
_RAISES = "What was -1 there is an exception: of a wrong argument a TypeError or ValueError."
_JOB_ENDS = "NoMatchingServer, PackagingError, TypeError say why it cannot be run, in place of None or a tuple."
_MANY = "PartialFailure where it was not started at all of them; its results are the references."
_LATE = "DeadlineExceeded where the time is over; what came stays for the next one, in place of being returned."

SPELLINGS: tuple[Spelling, ...] = (
    RETURN,
    PAUSE,
    SUB_CALL,
    # asyncoro
    _here(
        _LOCAL,
        "Coro",
        arguments=_JOB,
        note="The function may be a plain one, whose calls wait by themselves; a generator function goes on to work.",
    ),
    _Coro("locate", arguments=f"name, location=None, {_TIMEOUT}", is_yielded=True),
    _Coro("scheduler", "runtime()", note="Coroutines need no scheduler; the runtime is for peers."),
    _coro(
        "sleep",
        "sleep({args})",
        "seconds",
        is_yielded=True,
        arity=1,
        note="resume() does not end it: what may be resumed is coro.suspend(seconds).",
    ),
    _coro("sleep", "{of}.suspend({args})", _ANSWER, is_yielded=True),
    _coro("suspend", arguments=_ANSWER, is_yielded=True, note="RuntimeError where it is another's, in place of -1."),
    _coro("resume", arguments="update=None"),
    _coro("wakeup", "{of}.resume({args})", "update=None"),
    _coro("send", arguments="message"),
    _coro("deliver", arguments=f"message, {_TIMEOUT}", is_yielded=True, note="0 where it is over, in place of -1."),
    _coro("receive", arguments=_ANSWER, is_yielded=True),
    _coro("recv", "{of}.receive({args})", _ANSWER, is_yielded=True),
    _coro("value", arguments=_TIMEOUT, note=f"For coroutines too. {_ENDS}"),
    _coro("finish", "{of}.value({args})", _TIMEOUT, is_yielded=True, note=_ENDS),
    _coro("set_daemon", arguments="flag=True", note="Anybody may say it of any coroutine here."),
    _coro(
        "terminate",
        note="Terminated is raised where it waits, in place of GeneratorExit. "
        "Its monitors are told the kind 'terminated', not a normal end.",
    ),
    _coro("throw", arguments="error"),
    _coro("monitor", arguments="other", is_yielded=True, note="TypeError for what is no coroutine, in place of -1."),
    _coro("notify", arguments="monitor", note="TypeError for what is no coroutine, in place of -1."),
    _coro("register", arguments="name=None"),
    _coro("unregister", arguments="name=None"),
    _coro("hot_swappable", arguments="flag"),
    _coro("hot_swap", arguments=_JOB, note="Plain functions too; TypeError for what cannot be called."),
    _coro("is_alive"),
    _here(
        _LOCAL,
        "MonitorException",
        "{name}",
        None,
        note="Its attributes coro, kind, value and error say what args does: kind is 'finished', 'exception', "
        "'terminated' or 'lost'.",
    ),
    _here(_LOCAL, "HotSwapException", "{name}", None),
    _here(
        _LOCAL,
        "Channel",
        arguments="name, transform=None",
        note="TypeError for a transform that is none. Two of "
        "the same name are two; what stands before letters and digits is part of the name.",
    ),
    _Channel(
        "locate",
        arguments=f"name, location=None, {_TIMEOUT}",
        is_yielded=True,
        note="One of this process is found only where it is registered, too.",
    ),
    _channel("subscribe", arguments=f"subscriber, {_TIMEOUT}", is_yielded=True, note=_RAISES),
    _channel("unsubscribe", arguments=f"subscriber, {_TIMEOUT}", is_yielded=True, note=_RAISES),
    _channel("send", arguments="message"),
    _channel(
        "deliver",
        arguments=f"message, {_TIMEOUT}, n=0",
        is_yielded=True,
        note="Where there were not n subscribers in time, those that can be reached without a wait get it all the "
        "same; and all that there are are waited for, not n alone.",
    ),
    _channel("set_transform", arguments="transform", note=_RAISES),
    _channel("register", arguments="name=None"),
    _channel("unregister", arguments="name=None"),
    _channel("close"),
    _here(
        _LOCAL,
        "CategorizeMessages",
        arguments="coro",
        note="Often coro.receive(match=function) will do: it takes "
        "the first message of which that is true, and leaves the others.",
    ),
    _categories("add", arguments="function", note="TypeError for what is no function of one argument."),
    _categories("remove", arguments="function", note="ValueError for one that was not added."),
    _categories("receive", arguments=f"category=None, {_ANSWER}", is_yielded=True),
    _categories("recv", "{of}.receive({args})", f"category=None, {_ANSWER}", is_yielded=True),
    *(
        spelling
        for owner, of in (("Lock", "lock"), ("RLock", "lock"))
        for spelling in (
            _here(_LOCAL, owner),
            _of(
                _LOCAL,
                owner,
                of,
                "acquire",
                arguments="blocking=True, timeout=-1",
                is_yielded=True,
                note="with lock: releases it, however the block ends.",
            ),
            _of(_LOCAL, owner, of, "release"),
        )
    ),
    _here(_LOCAL, "Condition"),
    *(
        _of(_LOCAL, "Condition", "condition", name, native, arguments, note=note, is_yielded=is_yielded)
        for name, native, arguments, is_yielded, note in (
            (
                "acquire",
                _SAME,
                "blocking=True, timeout=-1",
                True,
                "with condition: releases it, however the block ends.",
            ),
            ("release", _SAME, "", False, ""),
            ("wait", _SAME, _TIMEOUT, True, "The lock is held after it, also where the time was over."),
            ("notify", _SAME, "n=1", False, "RuntimeError where the caller does not hold the lock."),
            ("notify_all", _SAME, "", False, "RuntimeError where the caller does not hold the lock."),
            (
                "notifyAll",
                "{of}.notify_all({args})",
                "",
                False,
                "RuntimeError where the caller does not hold the lock.",
            ),
        )
    ),
    _here(_LOCAL, "Event"),
    *(
        _of(_LOCAL, "Event", "event", name, native, arguments, is_yielded=name == "wait")
        for name, native, arguments in (
            ("set", _SAME, ""),
            ("clear", _SAME, ""),
            ("is_set", _SAME, ""),
            ("isSet", "{of}.is_set({args})", ""),
            ("wait", _SAME, _TIMEOUT),
        )
    ),
    _here(_LOCAL, "Semaphore", arguments="value=1"),
    _of(_LOCAL, "Semaphore", "semaphore", "acquire", arguments="blocking=True", is_yielded=True),
    _of(_LOCAL, "Semaphore", "semaphore", "release"),
    _here(_LOCAL, "AsyncThreadPool", arguments="num_threads"),
    _pool("async_task", arguments=_JOB, is_yielded=True),
    _pool("join"),
    _pool("terminate"),
    _here(
        _LOCAL,
        "AsyncDBCursor",
        "",
        "thread_pool, cursor",
        note="Use the plain cursor, by pool.async_task(cursor.execute, query), and a Lock where several share it.",
    ),
    *(
        _cursor(
            name,
            f"pool.async_task({{of}}.{name}, {{args}})",
            arguments,
            is_yielded=True,
            note="With the AsyncThreadPool, and the plain cursor that the AsyncDBCursor was made of.",
        )
        for name, arguments in (
            ("execute", "query, args"),
            ("executemany", "query, args"),
            ("callproc", "name, args=()"),
        )
    ),
    _here(
        _LOCAL,
        "AsynCoro",
        "runtime()",
        arity=0,
        note="It is for peers alone: coroutines start what they need by themselves.",
    ),
    _AsynCoro("instance", "runtime()", "*args, **kwargs"),
    _AsynCoro("scheduler", "runtime()", note="Coroutines need no scheduler; the runtime is for peers."),
    _AsynCoro("cur_coro", "Coro.current()", "scheduler=None"),
    _scheduler(
        "join",
        "",
        "show_running=False",
        note="The end of the program waits for all coroutines that are no "
        "daemons. To wait before, ask for the value() of each.",
    ),
    _scheduler("finish", "", note="The end of the program does this."),
    _scheduler("terminate", "", note="terminate() each coroutine."),
    _scheduler(
        "atexit",
        "",
        "priority, function, *args, **kwargs",
        note="atexit.register(function, *args), whose "
        "functions are called in the reverse order, the last one first, and have no priority. A try … finally "
        "in a coroutine runs in any case.",
    ),
    _here(_LOCAL, "Location", arguments="host, tcp_port", note="A host name is kept as it is, and not looked up."),
    _of(
        _LOCAL,
        "logger",
        "logger",
        "setLevel",
        'logging.getLogger("greencoro").setLevel({args})',
        "level",
        note="greencoro.log.enable_console() shows its lines, on standard error.",
    ),
    _of(_LOCAL, "logger", "logger", "show_ms", "", "flag", note="A logging.Formatter says how times are shown."),
    *(
        _of(_LOCAL, "logger", "logger", name, f"logging.getLogger(__name__).{new}({{args}})", "message, *args")
        for name, new in (
            ("debug", "debug"),
            ("info", "info"),
            ("warning", "warning"),
            ("warn", "warning"),
            ("error", "error"),
            ("critical", "critical"),
            ("fatal", "critical"),
        )
    ),
    *(
        Spelling(_LOCAL, "logger", name, f"logging.{new}", of="logger")
        for name, new in (
            ("DEBUG", "DEBUG"),
            ("INFO", "INFO"),
            ("WARN", "WARNING"),
            ("WARNING", "WARNING"),
            ("ERROR", "ERROR"),
            ("CRITICAL", "CRITICAL"),
            ("FATAL", "CRITICAL"),
        )
    ),
    _here(_LOCAL, "Logger", "logging.getLogger({args})", "name"),
    _here(_LOCAL, "serialize", "pickle.dumps({args})", "obj"),
    _here(_LOCAL, "deserialize", "pickle.loads({args})", "data"),
    _here(_LOCAL, "unserialize", "pickle.loads({args})", "data"),
    _here(
        _LOCAL,
        "Singleton",
        "",
        None,
        note="A metaclass that greencoro has no use for. Make the object once, in a module.",
    ),
    _here(
        _LOCAL,
        "MsgTimeout",
        "",
        None,
        note="Calls that wait have a timeout each. That of computations is greencoro.compute.MsgTimeout.",
    ),
    # Sockets
    _here(
        _LOCAL,
        "AsyncSocket",
        arguments="sock, blocking=False, keyfile=None, certfile=None",
        note="The time limit of sock counts on.",
    ),
    _here(
        _LOCAL,
        "AsynCoroSocket",
        "AsyncSocket({args})",
        "sock, blocking=False, keyfile=None, certfile=None",
        note="The time limit of sock counts on.",
    ),
    *(
        _socket(name, arguments=arguments, note=note, is_yielded=True)
        for name, arguments, note in (
            ("accept", "", ""),
            ("connect", "address", ""),
            ("create_connection", f"address, {_TIMEOUT}, source_address=None", ""),
            ("recv", "size", ""),
            ("send", "data", ""),
            ("recvall", "size", f"bytes, in place of a bytearray. {_LATE}"),
            ("sendall", "data", "DeadlineExceeded where the time is over; its attribute sent says how much was sent."),
            ("recv_msg", "", "RemoteProtocolError where the stream ends in the middle of a message, in place of b''."),
            ("send_msg", "data", ""),
            ("recvfrom", "size", ""),
            ("sendto", "data, address", ""),
        )
    ),
    _socket(
        "settimeout",
        arguments="timeout",
        note="As for any socket: None is no limit, and 0 does not wait at all. "
        "Of old 0 was no limit, and None blocked the thread.",
    ),
    _socket(
        "setblocking",
        arguments="flag",
        note="As for any socket: False does not wait at all. What blocks the thread is made with blocking=True.",
    ),
    _socket("gettimeout"),
    _socket("unwrap"),
    _socket("close"),
    # asyncoro.asyncfile
    _here(
        _FILES,
        "AsyncFile",
        arguments="fd",
        note="A file in binary mode, or a descriptor; TypeError for one in text mode.",
    ),
    _file("read", arguments=f"size=0, full=False, {_TIMEOUT}", is_yielded=True, note=_LATE),
    _file("readline", arguments=f"size=0, sizehint=100, {_TIMEOUT}", is_yielded=True, note=_LATE),
    _file("write", arguments=f"buf, full=False, {_TIMEOUT}", is_yielded=True),
    _file("close"),
    _here(
        _FILES,
        "AsyncPipe",
        arguments="first, last=None",
        note="greencoro.Popen may take the place of both the pipe and subprocess.Popen.",
    ),
    *(
        _pipe(name, arguments=arguments, is_yielded=True, note=note)
        for name, arguments, note in (
            ("read", f"size=0, {_TIMEOUT}", _LATE),
            ("readline", f"size=0, sizehint=100, {_TIMEOUT}", _LATE),
            ("read_stderr", f"size=0, {_TIMEOUT}", _LATE),
            ("readline_stderr", f"size=0, sizehint=100, {_TIMEOUT}", _LATE),
            ("write", f"buf, full=False, {_TIMEOUT}", ""),
            ("communicate", "input=None", ""),
        )
    ),
    _pipe("poll"),
    _pipe("close"),
    # asyncoro.disasyncoro
    _here(
        _NET,
        "AsynCoro",
        "Runtime({args})",
        "node=None, udp_port=None, tcp_port=0, …",
        note="The same parameters, "
        "except that secret=None, and not '', is this user's secret, and that dest_path has another default. A "
        "process may have several; runtime() is the first one.",
    ),
    _peers("locate", arguments=f"name, {_TIMEOUT}"),
    _peers(
        "peer",
        arguments="location, udp_port=51350, stream_send=False, broadcast=False",
        note="It waits until the two know each other.",
    ),
    _network("peers"),
    _network("peer_status", arguments="coro"),
    _peers(
        "send_file",
        arguments=f"location, file, dir=None, overwrite=False, {_TIMEOUT}",
        note="TypeError or ValueError for an argument of a wrong kind, in place of -1.",
    ),
    _peers(
        "del_file",
        "{of}.del_file({args}, prune=True)",
        f"location, file, dir=None, {_TIMEOUT}",
        note="Without prune=True, directories that are empty then stay.",
    ),
    _peers("close_peer", "{of}.disconnect({args})", "location, timeout=10"),
    _network("discover_peers", "{of}.announce({args})", "port=None"),
    _network("ignore_peers", "{of}.ignore_pings({args})", "flag"),
    _here(_NET, "PeerStatus", "{name}", None),
    _here(
        _NET,
        "SysCoro",
        "Coro({args})",
        _JOB,
        note="There are no two kinds of coroutines: messages, peers and files are served while coroutines compute.",
    ),
    _here(_NET, "MaxConnectionErrors", "", None, note="Heartbeats tell when a peer is gone; see the settings."),
    _here(_NET, "RCI", arguments="function, name=None", note="Plain functions too; TypeError for what is no function."),
    _of(
        _NET,
        "RCI",
        "RCI",
        "locate",
        arguments=f"name, location=None, {_TIMEOUT}",
        is_yielded=True,
        note="One of this process is found, too.",
    ),
    _rci("register"),
    _rci("unregister"),
    Spelling(
        _NET,
        "RCI",
        "",
        "{of}({args})",
        "*args, **kwargs",
        "rci",
        "PeerLost where its process is, in place of None.",
        is_yielded=True,
    ),
    # asyncoro.discoro
    _here(
        _JOBS,
        "Scheduler",
        arguments="nodes=[], zombie_period=None, …",
        note="LocalCluster(servers=4) needs no nodes. The other parameters are those of Runtime.",
    ),
    _of(_JOBS, "Scheduler", "scheduler", "status"),
    _of(_JOBS, "Scheduler", "scheduler", "print_status"),
    *(
        Spelling(_JOBS, "Scheduler", name, f"Status.{name}", of="Scheduler")
        for name in (
            "NodeDiscovered",
            "NodeInitialized",
            "NodeClosed",
            "NodeIgnore",
            "NodeDisconnected",
            "ServerDiscovered",
            "ServerInitialized",
            "ServerClosed",
            "ServerIgnore",
            "ServerDisconnected",
            "CoroCreated",
            "ComputationScheduled",
            "ComputationClosed",
        )
    ),
    _here(
        _JOBS,
        "Computation",
        arguments="components, status_coro=None, …",
        note="with Computation() as computation: "
        "schedules it, and closes it at the end. What a function refers to is sent with it: components are for files, "
        "and for what is to be at the servers before. Functions are plain ones; a generator function is not taken.",
    ),
    _computation(
        "schedule",
        arguments="location=None",
        note="DeadlineExceeded, ComputeError say why it cannot be, in place of -1. Or with computation:.",
    ),
    _computation("run", arguments=_JOB, note=_JOB_ENDS),
    _computation("run_at", arguments=f"where, {_JOB}", note=_JOB_ENDS),
    _computation(
        "run_each", arguments=f"where, {_JOB}", note=f"where is 'node', 'server', or the address of a node. {_MANY}"
    ),
    _computation("run_nodes", arguments=_JOB, note=_MANY),
    _computation("run_servers", arguments=_JOB, note=_MANY),
    _computation("run_node_servers", arguments=f"address, {_JOB}", note=_MANY),
    _computation("nodes"),
    _computation("servers", note="computation.wait_for_servers(n) waits until there are some."),
    _computation("close"),
    _here(_JOBS, "DiscoroStatus", "Status", None, note="Of nodes, info is the address; of servers, the Location."),
    _here(_JOBS, "DiscoroCoroInfo", "CoroInfo", None),
    _here(_JOBS, "CoroInfo", "{name}", None),
    _here(
        _JOBS,
        "DiscoroNodeInfo",
        "",
        None,
        note="info of a node is its address. What else is known of it are the "
        "NodeFacts that a function among node_filters gets.",
    ),
    _here(_JOBS, "DiscoroServerInfo", "Location", None),
    _here(_JOBS, "DiscoroNodeAvailInfo", "NodeAvailInfo", None),
    _here(_JOBS, "DiscoroNodeFilter", "NodeFilter({args})", "ip_addr='.*', cpus=0, memory=0, disk=0, platform=''"),
    _here(_JOBS, "MinPulseInterval", "greencoro.compute.{name}", None),
    _here(_JOBS, "MaxPulseInterval", "greencoro.compute.{name}", None),
    _here(_JOBS, "MsgTimeout", "greencoro.compute.{name}", None),
    # asyncoro.discoro_schedulers
    *(
        _here(
            _SCHEDULERS,
            name,
            "RemoteCoroScheduler({args})",
            "computation, proc_status=None, proc_available=None, proc_close=None",
            note="The three are plain functions.",
        )
        for name in ("RemoteCoroScheduler", "ProcScheduler")
    ),
    _jobs("schedule", arguments=_JOB, note=_JOB_ENDS),
    _jobs("execute", arguments=_JOB, note="What the job raised is raised here, in place of being returned."),
    _jobs(
        "execute_at", arguments=f"where, {_JOB}", note="What the job raised is raised here, in place of being returned."
    ),
    _jobs("submit", arguments=_JOB, note=_JOB_ENDS),
    _jobs("submit_at", arguments=f"where, {_JOB}", note=_JOB_ENDS),
    _jobs(
        "map_results",
        arguments="function, iterable",
        note="A tuple is spread to arguments; a list or a text is one "
        "argument. Executor(computation).map does as concurrent.futures has it.",
    ),
    _jobs("finish", arguments="close=False"),
)

#: By class and name; those for calls with a certain number of arguments come first.
BY_NAME: dict[tuple[str, str], tuple[Spelling, ...]] = {}
for _each in SPELLINGS:
    BY_NAME[_each.owner, _each.name] = (*BY_NAME.get((_each.owner, _each.name), ()), _each)
