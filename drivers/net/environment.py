"""What the environment of the process says about TLS: whom it trusts.

It is set far from our configuration, often for other programs. What cannot be used of it is named,
and fails what needs it.
"""

import errno
import os
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path


class UnusableSetting(OSError):
    """A variable of the environment cannot be used. The text names it, and says what to do."""


def authorities(ca_file: str | None = None) -> ssl.SSLContext:
    """What TLS trusts: the authorities of that file, or else what this machine trusts; where it has
    none at all, those of the package certifi. The environment may name others (SSL_CERT_FILE,
    SSL_CERT_DIR). Raises UnusableSetting where it names what is not there, OSError where `ca_file`
    cannot be used.
    """
    _check_key_log(os.environ)
    if ca_file is not None:
        refuse_no_file(ca_file)
        return ssl.create_default_context(cafile=ca_file)

    _check_authorities(os.environ)
    paths = ssl.get_default_verify_paths()
    has_some = paths.cafile or (paths.capath and any(Path(paths.capath).iterdir()))
    if has_some:
        return ssl.create_default_context()

    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def refuse_no_file(path: str) -> None:
    """OpenSSL would wait for who writes into a FIFO, and read a device for ever. Raises OSError."""
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a file", path)


def _check_key_log(environment: Mapping[str, str]) -> None:
    """Python writes the keys of all connections there, for whoever looks for a fault. Raises
    UnusableSetting.
    """
    if file := environment.get("SSLKEYLOGFILE"):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = file
        except OSError as error:
            raise UnusableSetting(
                f"the environment's SSLKEYLOGFILE names {file}, which cannot be written "
                f"({error.strerror or error}) — unset it"
            ) from error


def _check_authorities(environment: Mapping[str, str]) -> None:
    """OpenSSL passes over what is not there, and then trusts nobody. Raises UnusableSetting."""
    unset = "correct it, or unset it"
    if file := environment.get("SSL_CERT_FILE"):
        try:
            refuse_no_file(file)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
        except OSError as error:
            is_none = isinstance(error, ssl.SSLError)
            why = "it holds no certificates" if is_none else error.strerror or str(error)
            raise UnusableSetting(
                f"the environment's SSL_CERT_FILE names {file}, which cannot be used ({why}) — "
                f"{unset}"
            ) from error
    folder = environment.get("SSL_CERT_DIR")
    if folder and not any(Path(part).is_dir() for part in folder.split(os.pathsep)):
        raise UnusableSetting(
            f"the environment's SSL_CERT_DIR names {folder}, which is no folder — {unset}"
        )
