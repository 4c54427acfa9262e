"""Many processes, one space of names. From the bottom up, each using only those above it:

What travels, and how it is protected:

- location: where a runtime answers
- presence: as what a runtime is met, and whom it wants to meet
- refs: references as they travel
- fields: the parts of messages that have no fixed length
- kinds: the fixed layout of each kind of message
- messages: what runtimes say to each other
- decoding: the message that bytes of a peer are
- user_code: what users' objects raise while they are made into bytes or texts and back
- codec: users' objects as bytes
- noise: the cryptographic handshake, as pure code
- secret: the secret that lets runtimes in, and the file that keeps it
- record: sealed batches and chunks, what a connection carries after its handshake
- preamble: the 16 bytes that each side of a connection says first
- hello: what a runtime tells about itself when a connection opens
- handshake_states: the states of a handshake, in a table
- identity: the proof that a runtime is the incarnation that it says to be
- handshake: preambles, proof of the secret, who is who
- outbox: which message goes out next on a connection
- assembly: large messages, put together again from their chunks
- control: what the two ends of a connection say about that itself
- session: what two runtimes have under way to each other, whichever connection carries it
- membership: whether a peer is alive
- waiters: those who are called when it is worth another try
- flow: the credit that bounds what waits in a mailbox
- connection: one connection, bytes in and events out

Sockets:

- reactor: the native thread that has all sockets
- stream: what a connection runs over, whatever carries it
- repeating: what the reactor calls again and again, for the layers above
- connecting: connecting to a host at whichever of its addresses answers
- transport: streams over TCP
- credentials: the certificate by which runtimes with TLS know each other
- tls: streams inside TLS, over any other transport
- memory: streams inside one process
- hub_door: what the user hub watches for all connections that it serves
- hub_io: a connection served by the user hub while that turns
- wire: the shell of a connection
- listening: where peers come in at one runtime

Peers:

- peer_info: what a peer says of itself
- overdraft: what generators sent beyond the credit of mailboxes
- send_queue: what waits to be sent on one link
- standing: what each side of a link may name of what is at the other
- link_states: the states of a link, in a table
- answers: the answers that one side of a link waits for
- notices: the notices of ends that one side of a link waits for
- link: what there is with one incarnation of a peer: queue, credit, outstanding replies
- reaching: waiting that is said as long as a peer has not been reached
- dispatch: which part handles which kind of message
- reach: which peers reach what is here
- per_peer: what each incarnation has under way, whatever becomes of its links
- calls: requests of the layers above
- reports: what was said already
- dial: one attempt to reach a peer
- crossing: connections that wait for what comes of a dial of ours
- admission: whether a peer is let in as the one it says to be
- incoming: connections that came in and have not proved themselves
- dialling: who is being reached, where, and for whom
- redial: reaching those again whose connection broke
- resumption: links whose connection broke, until another one goes on with them
- referrals: dialling those whom references name
- peers: letting peers in, giving them up
- addresses: the addresses of this machine
- datagrams: the layout of discovery datagrams
- discovery: which of the pings that are heard lead to a connection
- discovery_socket: the UDP sockets of one runtime
- neighbours: how runtimes that were not named find each other
- peer_events: who is told when peers come and go
- search: looking for those that a location stands for
- contacts: reaching the peers that were named

Coroutines and channels of other processes:

- inflows: what peers have under way to mailboxes and channels
- delivery: messages of peers into mailboxes here
- watches: exit notices between processes
- elsewhere: what references to things of other processes have in common
- outcomes: ends of coroutines of other processes, kept for whoever asks
- asked: whether somebody has asked how a coroutine elsewhere ended
- proxies: RemoteCoro, a reference with the methods of a local coroutine
- monitors: who is sent the notice of an end elsewhere
- peer_status: the messages that tell a coroutine which peers are online
- locate: finding what is registered under a name
- backlog: what came through channels and waits
- channel_server: what peers send through channels here
- subscriptions: subscribers of other processes to channels here
- remote_channel: RemoteChannel, a reference with the methods of a local channel
- rci: functions that peers may start as coroutines here
- reference_classes: which classes the references of a runtime have
- asking: requests to coroutines of other processes
- remote_links: links between coroutines of different processes
- json_codec: users' objects as JSON
- forked_runtime: what a runtime is in a process that was forked from its own
- homes: at which of a process's runtimes coroutines are at home
- services: what one runtime offers its peers beside mailboxes

Files:

- plain_names: names that mean one entry of a directory
- confined: ways below one directory that no name can lead out of
- owner_locks: files whose lock says that their maker lives
- user_directory: the directory of this user's own
- bell: what one native thread waits for
- stat_fields: results of os.stat as they travel
- transfer_words: what the two sides of a file transfer say
- transfer_plan: what each side of a file transfer does next
- file_store: the directory that files of peers are saved below
- transfer_accounts: how much each peer has under way and on the disk
- transfer_incoming: one file that comes
- transfer_receiver: files that peers send and have removed
- transfer_outgoing: one file on its way to a peer
- transfer_progress: how far a transfer is, told to its caller
- transfer: sending files to peers, and removing them there

The whole:

- options: what a Runtime is given, in one form
- places: where a runtime listens
- arrival: what people are told when a runtime has started
- files_api: the part of a Runtime that is about files of its peers
- peers_api: the part of a Runtime that is about its peers
- operations_api: the part of a Runtime that layers above are built on
- references_api: the part of a Runtime that is about coroutines here and references to others
- runtime: Runtime, which wires all of this together
"""
