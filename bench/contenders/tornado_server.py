"""A line echo with Tornado, on asyncio's own loop or on uvloop: `python3 tornado_server.py asyncio|uvloop`. Prints the port, then serves."""
import asyncio
import sys

from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.tcpserver import TCPServer

from standard_input import follow_standard_input


class Server(TCPServer):
    connections = 0

    async def handle_stream(self, stream, address):
        Server.connections += 1
        stream.set_nodelay(True)
        try:
            while True:
                line = await stream.read_until(b"\n")
                await stream.write(line)
        except StreamClosedError:
            Server.connections -= 1


async def main():
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    Server().add_sockets(sockets)
    follow_standard_input(asyncio.get_running_loop(), lambda: Server.connections)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if sys.argv[1] == "uvloop":
    import uvloop

    uvloop.install()
asyncio.run(main())
