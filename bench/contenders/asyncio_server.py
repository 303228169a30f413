"""A line echo with asyncio's streams on uvloop: `python3 asyncio_server.py`. Prints the port, then serves."""
import asyncio

import uvloop

from standard_input import follow_standard_input

connections = 0


async def echo(reader, writer):
    global connections
    connections += 1
    try:
        while True:
            writer.write(await reader.readuntil(b"\n"))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        connections -= 1
        writer.close()


async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=4096)
    follow_standard_input(asyncio.get_running_loop(), lambda: connections)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


uvloop.install()
asyncio.run(main())
