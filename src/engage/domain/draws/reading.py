"""Read a certificate from a file that anybody may have written."""

import msgspec

from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.draws.certificate import DrawCertificate

# The certificate of the largest draw has about a tenth of a kilobyte for each entry.
CERTIFICATE_BYTES = 64 * 1024 * 1024

_certificate = msgspec.json.Decoder(DrawCertificate)
_anything = msgspec.json.Decoder()


def read_certificate(text: bytes) -> DrawCertificate:
    """Raises Malformed where the text is no certificate, or is not written as certificates are: every value
    has one form, so that each change of a text is a change of what it says.
    """
    certificate = decode_json(text, _certificate, limit_bytes=CERTIFICATE_BYTES)
    if msgspec.to_builtins(certificate) != decode_json(text, _anything):
        raise Malformed("a value is not written in its one form, such as a time without Z")
    return certificate
