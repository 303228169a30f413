"""The works of `in-process-ioloop.ts` with what asyncio has: `in-process-asyncio.py asyncio|uvloop callbacks|timeouts|futures-done|futures-pending COUNT`."""
import asyncio
import gc
import sys

import counted

TOGETHER = 100
LONGEST_DELAY = 1000


def delays(count):
    """Milliseconds, the same as in `in-process.ts`."""
    state = 12345
    for _ in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        yield 1 + state % LONGEST_DELAY


class CountDown:
    def __init__(self, count):
        self.left = count
        self.finished = asyncio.get_running_loop().create_future()

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            self.finished.set_result(None)


async def callbacks(count):
    loop, callback = asyncio.get_running_loop(), CountDown(count)
    for _ in range(count):
        loop.call_soon(callback)
    await callback.finished


async def timeouts(count):
    loop, callback = asyncio.get_running_loop(), CountDown(count // 2)
    handles = [loop.call_later(delay / 1000, callback) for delay in delays(count)]
    for handle in handles[::2]:
        handle.cancel()
    await callback.finished


async def futures_done(count):
    loop = asyncio.get_running_loop()
    for made in range(count):
        future = loop.create_future()
        future.set_result(made)
        await future


async def wait_for(future):
    await future


async def futures_pending(count):
    loop = asyncio.get_running_loop()
    for _ in range(0, count, TOGETHER):
        futures = [loop.create_future() for _ in range(TOGETHER)]
        waiting = [loop.create_task(wait_for(future)) for future in futures]
        await asyncio.sleep(0)
        for future in futures:
            future.set_result(1)
        await waiting[-1]


async def main(work, count):
    # There is nothing to warm up: CPython does not optimise as it runs.
    gc.collect()
    started = counted.start()
    await work(count)
    counted.report(count, started)


if sys.argv[1] == "uvloop":
    import uvloop

    uvloop.install()
asyncio.run(main(globals()[sys.argv[2].replace("-", "_")], int(sys.argv[3])))
