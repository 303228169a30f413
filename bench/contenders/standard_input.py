"""What every contender's process does with its standard input: as standard-input.ts."""
import gc
import os
import sys


def follow_standard_input(loop, connections):
    """Answers each line with the number of connections, after a collection of garbage; ends the process with the input."""

    def on_input():
        if not os.read(0, 4096):
            os._exit(0)
        gc.collect()
        print(connections(), flush=True)

    loop.add_reader(sys.stdin.fileno(), on_input)
