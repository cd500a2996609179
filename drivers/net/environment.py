"""What the environment of the process says about the network: proxies, and whom TLS trusts.

It is set far from our configuration, often for other programs. What cannot be used of it is named,
and fails what needs it.
"""

import errno
import os
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_SOCKS = "socks"


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


def proxy_settings(environment: Mapping[str, str]) -> list[str]:
    """The variables that name a proxy, as they are written."""
    names = [n for name in _PROXIES for n in (name, name.upper())]
    return [name for name in names if environment.get(name)]


def unusable_proxy(environment: Mapping[str, str], name: str) -> UnusableSetting:
    """What to say where the HTTP client cannot digest that variable. A proxy's URL may hold a
    password, so it is not quoted.
    """
    value = environment.get(name, "")
    if name.lower() == "no_proxy":
        return UnusableSetting(
            f"the environment's {name} cannot be used ({value[:200]!r}) — write names and "
            "addresses of hosts, separated by commas, and no ranges of IPv6 addresses"
        )
    if value.lower().startswith(_SOCKS):
        return UnusableSetting(
            f"the environment's {name} names a SOCKS proxy, which is not supported — name one "
            "that speaks HTTP, or unset it"
        )
    return UnusableSetting(
        f"the environment's {name or 'proxy'} cannot be used — write http://HOST:PORT, or unset it"
    )
