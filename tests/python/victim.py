"""A worker that hangs in the middle of its work, to be killed. Usage: victim.py HOST:PORT ORCHESTRATOR ACTIVITY

It runs an orchestrator and an activity of the given names, says on standard output what it is in the middle of, and never
finishes: the orchestrator hangs in its second turn, the activity at once. It ends when its standard input does.
"""

import os
import sys
import threading

from hub import Hub


def hang(where):
    print(f"in the middle of {where}", flush=True)
    threading.Event().wait()


def main(address, orchestrator_name, activity_name):
    def orchestrator(ctx, _):
        yield ctx.call_activity("quick")
        if not ctx.is_replaying:
            hang("a turn")

    def quick(_, __):
        return "quick"

    def activity(_, __):
        hang("an activity")

    orchestrator.__name__, activity.__name__ = orchestrator_name, activity_name
    Hub(address, "victim").work([orchestrator], [quick, activity])
    print("worker ready", flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
