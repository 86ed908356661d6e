"""In processes of their own, as an import happens once."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.fakes.certificates import make_certificate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.certificates import Certificate

CHECK = """
import asyncio, gc, ssl, sys
from clawd.late_trust import import_http
import_http()
import aiohttp
from aiohttp import web

def authorities():
    read = ssl._ssl._SSLContext.cert_store_stats
    return [read(each)["x509_ca"] for each in gc.get_objects() if isinstance(each, ssl.SSLContext)]

async def main(cert, key):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    app = web.Application()
    app.router.add_get("/", lambda _: asyncio.sleep(0, web.Response(text="in")))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as client:
        try:
            async with client.get(f"https://127.0.0.1:{port}/") as response:
                print(await response.text())
        except aiohttp.ClientConnectorCertificateError:
            print("refused")
    print(max(authorities()))
    await runner.cleanup()

print(max(authorities(), default=0))
asyncio.run(main(*sys.argv[1:]))
"""


def run(served: Certificate, *, trusted: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(served.cert), str(served.key)],
        env={**os.environ, "SSL_CERT_FILE": str(trusted), "SSL_CERT_DIR": str(trusted.parent / "none")},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


def test_the_systems_authorities_are_read_at_the_first_connection_and_believed(tmp_path: Path) -> None:
    served = make_certificate(tmp_path)
    assert run(served, trusted=served.cert) == ["0", "in", "1"]


def test_what_no_authority_of_the_system_vouches_for_is_refused(tmp_path: Path) -> None:
    served, other = make_certificate(tmp_path), make_certificate(tmp_path, "other")
    assert run(served, trusted=other.cert) == ["0", "refused", "1"]


MEDIA_TYPES = """
import mimetypes, pathlib, sys
mimetypes.knownfiles = [sys.argv[1]]
from clawd.late_trust import import_http
import_http()
print(mimetypes.inited)
pathlib.Path(sys.argv[1]).write_text("application/clawd clawd")
print(mimetypes.guess_type("a.clawd")[0], mimetypes.guess_type("a.png")[0])
"""


def test_the_systems_media_types_are_read_by_the_first_who_asks(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEDIA_TYPES, str(tmp_path / "mime.types")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "application/clawd", "image/png"]
