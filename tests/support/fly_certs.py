"""OpenSSH certificates as text: what Fly logs of those that it issues. Keys and signatures are made up."""

import base64
import struct

TYPE = b"ssh-ed25519-cert-v01@openssh.com"
KEY_BYTES, SIGNATURE_BYTES = 32, 64
FOR_EVER = 2**64 - 1
EXTENSIONS = (b"permit-agent-forwarding", b"permit-port-forwarding", b"permit-pty")


def string(data):
    return struct.pack(">I", len(data)) + data


def certificate(key_id, serial, valid_after, valid_before, principals=("root", "fly")):
    """Of a user, from second to second since 1970."""
    key_id = key_id if isinstance(key_id, bytes) else key_id.encode()
    blob = b"".join((
        string(TYPE), string(bytes(KEY_BYTES)), string(bytes(KEY_BYTES)), struct.pack(">QI", serial, 1),
        string(key_id), string(b"".join(string(name.encode()) for name in principals)),
        struct.pack(">QQ", valid_after, valid_before), string(b""),
        string(b"".join(string(name) + string(b"") for name in EXTENSIONS)), string(b""),
        string(string(b"ssh-ed25519") + string(bytes(KEY_BYTES))),
        string(string(b"ssh-ed25519") + string(bytes(SIGNATURE_BYTES)))))
    return f"{TYPE.decode()} {base64.b64encode(blob).decode()}"
