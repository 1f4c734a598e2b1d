"""Somebody who has dead letters tried again, and streams go on that stopped, until the server is gone."""

import random
import threading

import redis

from chaos import observe
from chaos.verdict import kind_of

# Seconds between two commands: the kill is to find failures, too.
PAUSE_MAX = 0.02


class Operator(threading.Thread):
    """One connection."""

    def __init__(self, client, seed, streams):
        super().__init__(daemon=True)
        self._client = client
        self._chance = random.Random(seed)
        self._streams = [stream for stream in streams if kind_of(stream).command]
        self._ended = threading.Event()
        self._refused = []

    def run(self):
        """Gives commands."""
        try:
            while not self._ended.wait(self._chance.uniform(0, PAUSE_MAX)):
                observe.command(self._client, self._chance.choice(self._streams))
        except redis.TimeoutError:
            self._refused.append("no reply to RG.CONSUMER")
        except redis.ResponseError as error:
            self._refused.append(f"RG.CONSUMER: {error}")
        except redis.ConnectionError:
            pass  # The server is gone, as was to be.
        finally:
            self._client.close()

    def end(self):
        """Waits for the end, which comes with that of the server; gives errors."""
        self._ended.set()
        self.join()
        return self._refused
