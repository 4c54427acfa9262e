"""Several hosts on one machine, with a network between them that can be spoilt; and what greencoro promises there.

- faults: what one direction of a cable does to the frames on it
- switch: the process that joins the hosts and spoils the network
- netlab: `Lab`, which starts the switch and runs programs in the hosts
- networks: two networks of a lab, joined by a router; what hosts filter
- programs: programs that compute on a cluster, in hosts
- ssh: an sshd in one host, and clients of it in another

It needs Linux, root, ``/dev/net/tun``, and the commands ``ip`` (Debian: iproute2), ``nsenter`` and ``unshare``
(util-linux). `netlab.why_not` says what is missing; the tests are then skipped with that reason.

Found out about the kernels that this runs on, which is why it is as it is:

- Many are built without ``sch_netem``, so ``tc ... netem`` fails. Hence a switch in user space, which can also be
  seeded and record what was sent.
- A stopped process still completes TCP handshakes (the kernel does) and takes data until its buffers are full:
  connecting does not find it, heartbeats do.
- With fixed ARP entries, as here by default, a host that is cut off is silence, as behind a firewall that drops.
  Without them senders see "no route to host" after some seconds, as when a cable is pulled.
- On loopback several sockets on one UDP port, bound to '' or to 127.255.255.255, all receive what is sent to
  127.255.255.255. Discovery needs no lab for that.
- The switch forwards about 130 MB/s of TCP on two cores: it is not for benchmarks.
"""
