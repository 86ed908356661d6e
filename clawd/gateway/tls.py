"""TLS with certificate and key from files, which may be renewed while the gateway runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.errors import ConfigError, ConfigProblem

if TYPE_CHECKING:
    from clawd.config.schema import TlsConfig
    from clawd.ids import Clock

log = logging.getLogger(__name__)

LOOK_S: Final = 10.0


class Tls:
    """The context of the server, and behind it the one that holds the files' content of today.

    Every handshake is handed the newer one: contexts that connections use are never changed.
    """

    def __init__(self, config: TlsConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._current: ssl.SSLContext | None = None
        self._stamps: tuple[tuple[int, int, int], ...] = ()
        self._looked_at = clock.monotonic()
        self._looking: asyncio.Future[None] | None = None

    async def load(self, config: TlsConfig | None = None) -> ssl.SSLContext:
        """Return the context for a server, the files read; with `config` those are read from now on.

        Raises:
            ConfigError: the files can't be used; what was read before stays.
        """
        wanted = config or self._config
        stamps, current = await _usable(wanted)
        self._config, self._stamps, self._current = wanted, stamps, current
        front = _context()
        front.sni_callback = self._choose
        return front

    def look(self) -> None:
        """Read the files again, in the background, if they were renewed; for every new connection.

        It looks at most every `LOOK_S`, so that a gateway that nobody asks does not poll.
        """
        now = self._clock.monotonic()
        if now - self._looked_at < LOOK_S or (self._looking is not None and not self._looking.done()):
            return
        self._looked_at = now
        self._looking = asyncio.get_running_loop().run_in_executor(None, self._reload)

    def _reload(self) -> None:
        """Runs in a thread; a pair that is half renewed does not fit, and is read the next time."""
        try:
            if _stamps(self._config) == self._stamps:
                return
            self._stamps, self._current = _read(self._config)
        except (OSError, ssl.SSLError) as error:
            log.warning("gateway_certificate_refused", extra={"error": str(error)})
            return
        log.info("gateway_certificate_renewed", extra={"path": str(self._config.cert)})

    def _choose(self, handshake: ssl.SSLObject, _name: str | None, _front: ssl.SSLContext) -> None:
        if self._current is not None:
            handshake.context = self._current


async def check_files(config: TlsConfig) -> None:
    """Read the files as a start does; raises ConfigError when they can't be used."""
    await _usable(config)


def problem_of(config: TlsConfig) -> ConfigProblem | None:
    """Return why a start could not use the files, None if it could. Its `key` is that of the file at fault."""
    try:
        _read(config)
    except (OSError, ssl.SSLError) as error:
        return _problem(config, error)
    return None


async def _usable(config: TlsConfig) -> tuple[tuple[tuple[int, int, int], ...], ssl.SSLContext]:
    try:
        return await asyncio.to_thread(_read, config)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([_problem(config, error)]) from error


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _read(config: TlsConfig) -> tuple[tuple[tuple[int, int, int], ...], ssl.SSLContext]:
    stamps = _stamps(config)
    for path in (config.cert, config.key):
        Path(path).open("rb").close()  # OpenSSL does not say which one it may not read
    context = _context()
    # An encrypted key would make OpenSSL ask at the terminal.
    context.load_cert_chain(config.cert, config.key, password=lambda: "")
    return stamps, context


def _stamps(config: TlsConfig) -> tuple[tuple[int, int, int], ...]:
    found = (Path(path).stat() for path in (config.cert, config.key))
    return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)


def _problem(config: TlsConfig, error: OSError | ssl.SSLError) -> ConfigProblem:
    if isinstance(error, ssl.SSLError):
        why = f"{error.reason or error}; both have to be PEM, belong together, and the key must have no password"
        return ConfigProblem(
            path=str(config.cert),
            key="gateway.tls",
            message=f"the certificate and its key can't be used: {why}",
            remedy=f"openssl x509 -in {config.cert} -noout -dates looks at it",
        )
    path, which = (config.key, "key") if error.filename == str(config.key) else (config.cert, "cert")
    return ConfigProblem(
        path=str(path),
        key=f"gateway.tls.{which}",
        message=f"the certificate and its key can't be used: {path}: {error.strerror or error}",
        remedy=f"ls -l {path} shows who may read it",
    )
