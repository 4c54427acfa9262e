"""A whole program: two gateways, one job, its result."""

import execnet

group = execnet.Group()
gateways = [group.makegateway("popen") for _ in range(2)]
channel = gateways[0].remote_exec("channel.send(channel.receive() ** 2)")
channel.send(7)
print("result", channel.receive(), flush=True)
group.terminate(timeout=1.0)
