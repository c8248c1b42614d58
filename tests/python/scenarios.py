"""Runs the scenarios of one feature with the PyPI package `durabletask`, as worker and as client.

Usage: scenarios.py HOST:PORT FEATURE [WORDS OF A SCENARIO'S NAME]

A feature is a module in `features` that holds a `Feature`: what its worker runs, and what must hold.
"""

import importlib
import os
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from hub import Hub


def hold(sentence, scenario, hub):
    begun = time.monotonic()

    def took():
        return f"{(time.monotonic() - begun) * 1000:.0f} ms"

    try:
        scenario(hub)
        sys.stdout.write(f"holds: {sentence} ({took()})\n")
        return True
    except BaseException:
        # An assertion says what was expected and what came instead.
        sys.stdout.write(f"DOES NOT HOLD: {sentence} ({took()})\n{traceback.format_exc()}\n")
        return False


def main(address, name, *words):
    feature = importlib.import_module(f"features.{name}").feature
    hub = Hub(address, name)
    if feature.orchestrators or feature.activities or feature.entities:
        hub.work(feature.orchestrators, feature.activities, feature.entities, **feature.options)
    chosen = [(sentence, scenario) for sentence, scenario in feature.scenarios if " ".join(words) in sentence]
    with ThreadPoolExecutor(max_workers=1 if feature.alone else 24) as threads:
        runs = [
            threads.submit(hold, sentence, scenario, hub.scope(number))
            for number, (sentence, scenario) in enumerate(chosen)
        ]
        held = [run.result() for run in runs]
    # The SDK's threads would keep the process alive.
    sys.stdout.flush()
    os._exit(0 if held and all(held) else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
