"""Reads what a command writes, through Tornado's Subprocess: `pipe-tornado.py asyncio|uvloop bytes|lines WARM_UP MILLISECONDS COMMAND...`."""
import asyncio
import os
import sys

import tornado.process

import counted

CHUNK = 65536
count = 0


async def read_bytes(stream):
    global count
    target = bytearray(CHUNK)
    while True:
        count += await stream.read_into(target, partial=True)


async def read_lines(stream):
    global count
    while True:
        await stream.read_until(b"\n")
        count += 1


async def main(reader, warm_up, milliseconds, *command):
    global count
    child = tornado.process.Subprocess(command, stdout=tornado.process.Subprocess.STREAM)
    reading = asyncio.ensure_future({"bytes": read_bytes, "lines": read_lines}[reader](child.stdout))
    await asyncio.sleep(float(warm_up) / 1000)
    count, started = 0, counted.start()
    await asyncio.sleep(float(milliseconds) / 1000)
    counted.report(count, started)
    child.proc.kill()
    # Without a word about the read that waits.
    os._exit(0)


if sys.argv[1] == "uvloop":
    import uvloop

    uvloop.install()
asyncio.run(main(*sys.argv[2:]))
