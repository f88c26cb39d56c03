"""A client of TLS 1.3 that sends early data (RFC 8446 section 2.3), which Python's ssl cannot: OpenSSL itself, by ctypes. An
EarlyContext stands where RawClient and Http2Client take an ssl.SSLContext."""

import ctypes
import ssl

SSL_CTRL_SET_TLSEXT_HOSTNAME = 55
SSL_CTRL_SET_MIN_PROTO_VERSION = 123
TLS1_3_VERSION = 0x0304
WANT_READ, ZERO_RETURN = 2, 6
STATUSES = ["not sent", "rejected", "accepted"]

libssl = ctypes.CDLL("libssl.so.3")
libcrypto = ctypes.CDLL("libcrypto.so.3")
for library, names in [(libssl, ["TLS_client_method", "SSL_CTX_new", "SSL_new", "SSL_get_session", "SSL_SESSION_dup"]),
                       (libcrypto, ["BIO_s_mem", "BIO_new"])]:
    for name in names:
        getattr(library, name).restype = ctypes.c_void_p
libcrypto.BIO_ctrl_pending.restype = ctypes.c_size_t
libcrypto.ERR_get_error.restype = ctypes.c_ulong
libcrypto.ERR_error_string_n.argtypes = [ctypes.c_ulong, ctypes.c_char_p, ctypes.c_size_t]


def pointer(value):
    return ctypes.c_void_p(value)


def why():
    """What OpenSSL says of its last failure."""
    text = ctypes.create_string_buffer(256)
    libcrypto.ERR_error_string_n(libcrypto.ERR_get_error(), text, ctypes.c_size_t(256))
    return text.value.decode()


class EarlyContext:
    """Trusts everybody. `session`: what is resumed, with early data if it allows that."""

    def __init__(self, session=None):
        self.context = pointer(libssl.SSL_CTX_new(pointer(libssl.TLS_client_method())))
        libssl.SSL_CTX_ctrl(self.context, SSL_CTRL_SET_MIN_PROTO_VERSION, ctypes.c_long(TLS1_3_VERSION), None)
        self.session = session
        self.alpn = []
        self.options = 0  # RawClient changes those of an ssl.SSLContext

    def set_alpn_protocols(self, protocols):
        self.alpn = protocols

    def wrap_socket(self, connected, server_hostname=None, **_):
        return EarlySocket(connected, self, server_hostname)


class EarlySocket:
    """As an ssl.SSLSocket whose handshake comes when it is asked for. What is sent before finish() is early data, if there is a
    session; what the server sends can be read before it too."""

    def __init__(self, connected, context, server_name):
        self.raw = connected
        self.family = connected.family
        self.context = context  # which lives as long
        self.ssl = pointer(libssl.SSL_new(context.context))
        self.inward, self.outward = (pointer(libcrypto.BIO_new(pointer(libcrypto.BIO_s_mem()))) for _ in range(2))
        libssl.SSL_set_bio(self.ssl, self.inward, self.outward)
        libssl.SSL_set_connect_state(self.ssl)
        if server_name:
            libssl.SSL_ctrl(self.ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, ctypes.c_long(0), server_name.encode())
        wire = b"".join(bytes([len(name)]) + name.encode() for name in context.alpn)
        if wire:
            libssl.SSL_set_alpn_protos(self.ssl, wire, ctypes.c_uint(len(wire)))
        self.finished = False
        if context.session is None:
            self.finish()
        else:
            assert libssl.SSL_set_session(self.ssl, pointer(libssl.SSL_SESSION_dup(pointer(context.session)))) == 1

    # --- the handshake ---
    def finish(self):
        """The handshake, and from now on nothing is early."""
        while libssl.SSL_do_handshake(self.ssl) != 1:
            self._flush()
            self._pull()
        self.finished = True
        self._flush()

    @property
    def early_data(self):
        return STATUSES[libssl.SSL_get_early_data_status(self.ssl)]

    @property
    def session(self):
        """The last that the server offered; a copy, since OpenSSL resumes none whose connection was cut."""
        return libssl.SSL_SESSION_dup(pointer(libssl.SSL_get_session(self.ssl)))

    # --- as sockets have it ---
    def sendall(self, data):
        done = ctypes.c_size_t(0)
        write = libssl.SSL_write_ex if self.finished else libssl.SSL_write_early_data
        for at in range(0, len(data), 16384):
            piece = bytes(data[at:at + 16384])
            assert write(self.ssl, piece, ctypes.c_size_t(len(piece)), ctypes.byref(done)) == 1, why()
            assert done.value == len(piece)
        self._flush()

    def recv(self, count):
        into = ctypes.create_string_buffer(count)
        while (got := libssl.SSL_read(self.ssl, into, ctypes.c_int(count))) <= 0:
            error = libssl.SSL_get_error(self.ssl, ctypes.c_int(got))
            if error == ZERO_RETURN:
                return b""
            if error != WANT_READ:
                raise ssl.SSLError(f"SSL_get_error says {error}")
            self._pull()
        return into.raw[:got]

    def _pull(self):
        data = self.raw.recv(65536)
        if not data:
            raise ssl.SSLEOFError("the end without a close_notify")
        assert libcrypto.BIO_write(self.inward, data, ctypes.c_int(len(data))) == len(data)

    def _flush(self):
        """What the handshake has to say waits until it is finish() that says it."""
        pending = libcrypto.BIO_ctrl_pending(self.outward)
        into = ctypes.create_string_buffer(pending)
        if pending:
            libcrypto.BIO_read(self.outward, into, ctypes.c_int(pending))
            self.raw.sendall(into.raw)

    def settimeout(self, seconds):
        self.raw.settimeout(seconds)

    def setsockopt(self, *option):
        self.raw.setsockopt(*option)

    def getsockname(self):
        return self.raw.getsockname()

    def shutdown(self, how):
        self.raw.shutdown(how)

    def close(self):
        if self.ssl:
            libssl.SSL_free(self.ssl)  # and the BIOs
            self.ssl = None
        self.raw.close()
