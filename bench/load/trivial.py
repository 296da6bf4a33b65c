"""A server that answers at once and always the same: what it is asked at most bounds the client.

python -m bench.load.trivial PORT
"""

import asyncio
import sys

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


class Trivial(asyncio.Protocol):
    """Treats whatever arrives in one read as one request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remembers where answers go."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers."""
        del data
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(_ANSWER)


async def main(port: int) -> None:
    """Serves until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Trivial, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
