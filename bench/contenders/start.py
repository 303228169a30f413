"""Starts a loop of Tornado, runs an iteration and stops."""
from tornado.ioloop import IOLoop

loop = IOLoop()
loop.add_callback(loop.stop)
loop.start()
