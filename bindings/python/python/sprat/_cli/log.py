"""The log of a command: one printable line per entry, on stderr."""

from __future__ import annotations

import logging
import sys
import time

from .output import clean

__all__ = ["log_to_stderr"]

_LEVELS = {
    "off": logging.CRITICAL + 10,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": 5,
}


class _Formatter(logging.Formatter):
    """Escapes names from the network, which could otherwise forge a line or move the cursor."""

    def format(self, record: logging.LogRecord) -> str:
        return clean(super().format(record))


def log_to_stderr(level: str) -> None:
    """Write the log lines of sprat to stderr, from this level on."""
    logging.raiseExceptions = False  # a closed stderr must not end the command
    logging.addLevelName(5, "TRACE")
    logging.addLevelName(logging.WARNING, "WARN")
    handler = logging.StreamHandler(sys.stderr)
    text = "%(asctime)s.%(msecs)03dZ [%(levelname)s] %(name)s: %(message)s"
    formatter = _Formatter(text, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.getLogger("sprat")
    logger.handlers[:] = [handler]
    logger.propagate = False
    # The node refuses an unknown level with a better message.
    logger.setLevel(_LEVELS.get(level, logging.INFO))
