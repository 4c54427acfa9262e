"""A whole program: two bare child interpreters that square over pipes, and the result of one."""

import subprocess
import sys

SERVER = "import sys\nfor line in sys.stdin:\n    print(int(line) ** 2, flush=True)\n"

servers = [
    subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for _ in range(2)
]
servers[0].stdin.write("7\n")
servers[0].stdin.flush()
print("result", servers[0].stdout.readline().strip(), flush=True)
for server in servers:
    server.communicate()
