"""`sprat keygen`: a random key for encryption."""

from __future__ import annotations

import click

import sprat

from .output import write

__all__ = ["keygen"]


@click.command()
@click.option(
    "--size",
    type=click.Choice(["16", "24", "32"]),
    default="32",
    show_default=True,
    help="Size of the key in bytes, for AES-128, AES-192 or AES-256.",
)
def keygen(size: str) -> None:
    """Print a new random key in base64.

    Give the same key to every member: with sprat's --key-file, with serf agent's -encrypt, or in a
    keyring file. This command does not send the key to any member.

    \b
      (umask 077; sprat keygen > /etc/sprat.key)
      sprat run --key-file /etc/sprat.key --join 10.0.0.5
    """  # noqa: D301 - click's mark for lines that are not wrapped
    write(sprat.generate_key(int(size)))
