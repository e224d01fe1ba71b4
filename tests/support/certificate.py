"""A certificate that nobody signed but itself, for servers of tests."""

import os
import ssl
import subprocess


def make(folder, host):
    """Of that address and localhost, in folder: a server's ssl context, and where who is to trust it finds it."""
    key, path = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", path, "-days", "2", "-subj",
         "/CN=server.example.com", "-addext", f"subjectAltName=IP:{host},DNS:localhost"],
        check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    return context, path
