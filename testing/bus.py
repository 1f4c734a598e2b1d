"""Packets of the cluster bus, as a node or another module of it might send them: whole, cut off, or twice."""

import socket
import struct

from testing.cluster import BUS
from testing.launch import HOST

# What the module's own messages have: their type, how they begin, and their length.
TYPE = 0xA7
MAGIC = b"RG2\x01"
GREETING = len(MAGIC) + 1 + 16 + 32

_OF_MODULES = 9
_HEADER = ">4sIHHHHQQQ40s2048s40s46sH30sHHHB3s"


def packet(sender, payload, kind=TYPE):
    """A packet with a message of a module without a name of nine characters, from that node."""
    body = struct.pack(">QIB", 0, len(payload), kind) + payload
    length = struct.calcsize(_HEADER) + len(body)
    header = struct.pack(
        _HEADER,
        *(b"RCmb", length, 1, sender.port, _OF_MODULES, 0, 0, 0, 0),
        *(sender.identity.encode(), bytes(2048), bytes(40), bytes(46), 0, bytes(30), 0, sender.port + BUS),
        # It is a primary.
        *(1, 0, bytes(3)),
    )
    return header + body


def greeting(process, token, wants=False):
    """What a node of the module would greet with."""
    return MAGIC + bytes([wants]) + process + token


def send(node, *packets):
    """Sends them to a node's bus port, on a connection of their own."""
    with socket.create_connection((HOST, node.port + BUS), timeout=60) as bus:
        for one in packets:
            bus.sendall(one)
        bus.shutdown(socket.SHUT_WR)
        # It is closed when all is read.
        bus.settimeout(60)
        while bus.recv(1 << 16):
            pass
