"""Certificates for servers that talk in TLS: an authority, and one that it has signed."""

import subprocess


def _openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def make(folder):
    """The server's options with files in that folder, which nodes trust and show to each other."""
    new = ("-newkey", "rsa:2048", "-nodes")
    authority, key, certificate, request = (str(folder / name) for name in ("ca.crt", "node.key", "node.crt", "node.csr"))
    signer = str(folder / "ca.key")
    _openssl("req", "-x509", *new, "-keyout", signer, "-out", authority, "-days", "2", "-subj", "/CN=authority")
    _openssl("req", *new, "-keyout", key, "-out", request, "-subj", "/CN=node")
    kind = folder / "kind"
    # Without that it would be of a version that is not taken everywhere.
    kind.write_text("basicConstraints=CA:FALSE\n")
    signed = ("-CA", authority, "-CAkey", signer, "-CAcreateserial", "-days", "2", "-extfile", str(kind))
    _openssl("x509", "-req", "-in", request, *signed, "-out", certificate)
    return ("--tls-ca-cert-file", authority, "--tls-cert-file", certificate, "--tls-key-file", key)
