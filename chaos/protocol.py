"""The servers' protocol, as far as clients speak it that have to know which replies of a pipeline still came."""


def packed(*words):
    """A command as it is sent."""
    lines = [f"*{len(words)}", *(line for word in words for line in (f"${len(word)}", word)), ""]
    return "\r\n".join(lines).encode()


def read_line(replies):
    """The next line of the replies; `ConnectionError` where it is cut off."""
    line = replies.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("cut off")
    return line[:-2]
