"""`sprat keygen`: a key for encryption."""

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
    help="Bytes of the key, for AES-128, AES-192 or AES-256.",
)
def keygen(size: str) -> None:
    """Print a new random key in base64.

    Nothing is sent anywhere. The same key goes to every member: as --key-file of sprat, as -encrypt
    of serf agent, or into a keyring file.

    \b
      (umask 077; sprat keygen > /etc/sprat.key)
      sprat run --key-file /etc/sprat.key --join 10.0.0.5
    """  # noqa: D301 - the mark of click for lines that stay as they are
    write(sprat.generate_key(int(size)))
