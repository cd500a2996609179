"""What a failed TLS handshake most likely means, in words. Pure but for the types of its errors."""

import ssl

_NOT_TLS = {
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
    "BAD_RECORD_TYPE",
}
"""OpenSSL's reasons where what came is no TLS at all; they differ by its version."""

_BROKEN_OFF = {"UNEXPECTED_EOF_WHILE_READING", "EOF occurred in violation of protocol"}


def no_tls_there(error: BaseException) -> str:
    """What the other end did in place of TLS's handshake; empty where it speaks TLS, or nobody
    listens.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return ""
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if reason in _NOT_TLS:
            return f"it does not speak TLS on this port (SSL: {reason})"
        if reason in _BROKEN_OFF or isinstance(error, ssl.SSLEOFError):
            return "it broke off TLS's handshake"
        return ""
    if isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
        return "it broke off TLS's handshake"
    return ""
