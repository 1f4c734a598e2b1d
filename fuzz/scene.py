"""A primary, its replica and the producers; carries out operations on them."""

import contextlib
import os
import threading
import time
from collections import Counter

import redis

from fuzz.operations import KEYS, STREAMS, USER
from testing.replies import fields
from testing.servers import Server

# No answer may take longer: clients are paused and scripts run for parts of a second.
ANSWER = 20
MODULE_ARGUMENTS = (
    *("execution-threads", "2"),
    *("library-maxmemory", str(64 << 20)),
    *("lock-redis-timeout", "500"),
    *("background-timeout", "2000"),
    *("max-executions", "20"),
    *("enable-debug-command", "yes"),
)
LISTENERS_MAX = 12
# Children that write files take parts of a second.
RELOAD_WAIT = 1
PRODUCER_PAUSE = 0.002
INTERNAL = ("internal error", "panick")


class Finding(Exception):
    """Something that must not be."""


class Node(Server):
    """One server, with clients by database and user."""

    def __init__(self, directory, **which):
        directory.mkdir(parents=True)
        self._clients = {}
        super().__init__(directory, *MODULE_ARGUMENTS, "--appendonly", "yes", "--repl-timeout", "20", **which)

    def of(self, db=0, user=None):
        """The client for a database; it connects anew where it was killed."""
        if (db, user) not in self._clients:
            account = {"username": user, "password": "x"} if user else {}
            self._clients[db, user] = self.connect(db=db, socket_timeout=ANSWER, **account)
        return self._clients[db, user]


class Producer(threading.Thread):
    """Adds entries and sets keys as long as it may; what the server refuses does not matter."""

    def __init__(self, scene, db):
        super().__init__(daemon=True)
        self._scene = scene
        self._db = db
        self.at_work = threading.Event()
        self.idle = threading.Event()
        self.ends = False
        self.start()

    def run(self):
        number = 0
        while not self.ends:
            if not self.at_work.wait(0.05):
                continue
            self.idle.clear()
            number += 1
            with contextlib.suppress(redis.RedisError, OSError):
                client = self._scene.primary.of(self._db, None)
                client.execute_command("XADD", STREAMS[number % 4], "*", "n", number % 12)
                client.execute_command("SET", KEYS[number % 3], number)
            if not self.at_work.is_set():
                self.idle.set()
            time.sleep(PRODUCER_PAUSE)
            if not self.at_work.is_set():
                self.idle.set()


class Scene:
    """Servers of one life, with what is open on them; `which` are the program and the module."""

    def __init__(self, directory, **which):
        self.primary = Node(directory / "one", **which)
        self.replica = Node(directory / "two", **which)
        self.counts = Counter()
        self.refused = Counter()
        self._open = []
        self.set_user()
        self.replica.follow(self.primary)
        self._producers = [Producer(self, db) for db in (0, 1)]

    @property
    def nodes(self):
        """Both servers."""
        return (self.primary, self.replica)

    def set_user(self):
        """The owner of some of the libraries, with all rights."""
        for node in self.nodes:
            node.of().execute_command("ACL", "SETUSER", USER, "on", "nopass", "~*", "&*", "+@all")

    def produce(self, yes):
        """Producers begin or stop."""
        for producer in self._producers:
            if yes:
                producer.idle.clear()
                producer.at_work.set()
            else:
                producer.at_work.clear()
        if not yes:
            for producer in self._producers:
                producer.idle.wait(ANSWER)

    def close(self):
        """Everything ends."""
        for producer in self._producers:
            producer.ends = True
        self.leave()
        for node in self.nodes:
            node.kill()
        for producer in self._producers:
            producer.join(ANSWER)

    def leave(self):
        """Clients that wait or listen go."""
        for connection in self._open:
            connection.disconnect()
        self._open.clear()

    def check_alive(self):
        """`Finding` with the end of the log if a server is gone, or with what a sanitizer said of it or a child."""
        for node in self.nodes:
            for report in node.directory.glob(f"{node.log.name}.asan.*"):
                raise Finding(f"{report}:\n{report.read_text(errors='backslashreplace')[:4000]}")
            # It may be dying: the connection is gone before the process.
            with contextlib.suppress(Exception):
                node.process.wait(0)
            if not node.is_alive():
                log = node.log.read_text(errors="backslashreplace")
                cut = log.find("BUG REPORT START")
                raise Finding(f"a server died, code {node.process.returncode}:\n{log[max(cut - 500, 0) :][:4000] if cut >= 0 else log[-3000:]}")

    def do(self, operation):
        """One operation. Errors of the server are answers like others, but for internal ones."""
        self.counts[operation["kind"]] += 1
        try:
            getattr(self, f"_{operation['do']}")(operation)
        except redis.TimeoutError as error:
            self.check_alive()
            raise Finding(f"no answer to {operation} within {ANSWER} s") from error
        except redis.ConnectionError:
            # Killed, or refused while the server loads; or the server is dead.
            self._settle_connection()
        except redis.RedisError as error:
            self.refused[operation["kind"]] += 1
            if any(word in str(error).lower() for word in INTERNAL):
                raise Finding(f"{operation}: {error}") from error

    def _settle_connection(self):
        end = time.monotonic() + ANSWER
        while time.monotonic() < end:
            self.check_alive()
            with contextlib.suppress(redis.RedisError):
                self.primary.of().ping()
                return
            time.sleep(0.01)
        raise Finding(f"the primary does not answer PING within {ANSWER} s")

    def _client(self, operation):
        node = self.replica if operation.get("at") == "replica" else self.primary
        return node.of(operation["db"], operation.get("user"))

    def _command(self, operation):
        self._client(operation).execute_command(*operation["words"])

    def _multi(self, operation):
        with self._client(operation).pipeline(transaction=True) as pipeline:
            for words in operation["commands"]:
                pipeline.execute_command(*words)
            pipeline.execute(raise_on_error=False)

    def _connection(self, operation):
        pool = self.primary.connect(db=operation["db"], socket_timeout=ANSWER).connection_pool
        return pool.get_connection()

    def _leave(self, operation):
        connection = self._connection(operation)
        try:
            connection.send_command(*operation["words"])
            if connection.can_read(operation["after"] / 1000):
                connection.read_response()
        finally:
            connection.disconnect()

    def _listen(self, operation):
        if len(self._open) >= LISTENERS_MAX:
            self._open.pop(0).disconnect()
        connection = self._connection(operation)
        self._open.append(connection)
        for words in operation["commands"]:
            connection.send_command(*words)

    def _pick(self, operation):
        client = self._client(operation)
        if operation["what"] == "registration":
            found = [fields(one)["id"] for one in client.execute_command("RG.DUMPREGISTRATIONS")]
        elif operation["what"] == "run":
            found = [fields(one)["executionId"] for one in client.execute_command("RG.DUMPEXECUTIONS")]
        else:
            key = operation["words"][1]
            found = [entry[0] for entry in client.execute_command("XRANGE", key, "-", "+", "COUNT", 99)]
        if found:
            client.execute_command(*operation["words"], found[operation["number"] % len(found)])

    def _reload(self, operation):
        end = time.monotonic() + RELOAD_WAIT
        while not self._may_reload(operation["words"][1]):
            if time.monotonic() > end:
                return
            time.sleep(0.01)
        self._command(operation)
        if operation["words"][1] == "LOADAOF" or self.primary.of().info("persistence")["rdb_last_load_keys_expired"]:
            # What expires between saving and loading is gone without a word to the replica, which would keep it for ever. And
            # a full sync tells of entries that are in flight, the file only of those that are done: of one that is deleted
            # then, nobody would tell the replica any more.
            self.primary.of().execute_command("DEBUG", "CHANGE-REPL-ID")
            self.primary.of().execute_command("CLIENT", "KILL", "TYPE", "replica")

    def _may_reload(self, what):
        # A child's end takes what it saved from the count of changes, which these commands begin anew. Where that makes the
        # count negative, the server sends them to replicas and the append-only file, and loads for ever.
        persistence = self.primary.of().info("persistence")
        if persistence["rdb_bgsave_in_progress"] or persistence["rdb_changes_since_last_save"] < 0:
            return False
        # From a full sync to the end of the rewrite that follows it, the file is the one from before the sync: who is
        # promoted in between and reads it has other data than its replica, which is not told.
        return what != "LOADAOF" or not (persistence["aof_rewrite_in_progress"] or persistence["aof_rewrite_scheduled"])

    def _restore(self, operation):
        # Bytes, which the other clients do not give.
        db = operation["db"]
        with self.primary.connect(db=db, socket_timeout=ANSWER, decode_responses=False) as client:
            one, other = operation["words"]
            if dumped := client.dump(one):
                client.restore(other, 0, dumped, replace=True)

    def _roles(self, operation):
        if operation["how"] == "swap":
            self.replica.of().execute_command("REPLICAOF", "NO", "ONE")
            self.primary.of().execute_command("REPLICAOF", "127.0.0.1", self.replica.port)
            self.primary, self.replica = self.replica, self.primary
        else:
            self._stand_apart()

    def _stand_apart(self):
        """The replica is a primary for a while, with an entry of its own: a full sync ends that."""
        self.replica.of().execute_command("REPLICAOF", "NO", "ONE")
        self.replica.of().execute_command("XADD", "s:1", "*", "n", "apart")
        self.replica.of().execute_command("REPLICAOF", "127.0.0.1", self.primary.port)

    @staticmethod
    def _wait(operation):
        time.sleep(operation["after"] / 1000)

    def memory(self):
        """What the servers take, in bytes."""
        return {
            node.directory.name: {"rss": _rss(node.process.pid), "data": node.of().info("memory")["used_memory_dataset"]}
            for node in self.nodes
        }


def _rss(pid):
    with open(f"/proc/{pid}/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
