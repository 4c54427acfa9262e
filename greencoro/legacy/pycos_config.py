"""The module ``pycos.config``."""

from __future__ import annotations

from greencoro.distributed.runtime import DEFAULT_PORT

#: Longest wait for messages between processes, in seconds.
MsgTimeout = 10

#: Programs set it. What tells here that a peer is gone are heartbeats, so it makes no difference.
MaxConnectionErrors = 10

#: The port that peers find each other by.
NetPort = DEFAULT_PORT

#: Limits of a client's ``pulse_interval``, in seconds.
MinPulseInterval = MsgTimeout
MaxPulseInterval = 10 * MinPulseInterval

#: The UDP ports of a scheduler that clients share, and of nodes: all find each other by the same one.
DispycosSchedulerPort = NetPort
DispycosNodePort = NetPort
