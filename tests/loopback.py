"""A server on loopback that misbehaves in the ways that mirrors of data sets do."""

import contextlib
import hashlib
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from vggres.data.download import Archive


@dataclass(frozen=True)
class Page:
    """What the server answers under one path.

    Attributes:
        content: the whole file.
        status: other than 200, it answers an error.
        ranges: whether it knows the header Range.
        stops_after: bytes of an answer after which it breaks off; None for never.
        lie: is added to the Content-Length (and to the size in Content-Range).
        content_type: None sends none.
        pause: seconds between two pieces of an answer, which has ten of them.
        stalls: whether it falls silent where it would break off.
        has_length: whether it sends a Content-Length.
    """

    content: bytes = b''
    status: int = 200
    ranges: bool = True
    stops_after: int | None = None
    lie: int = 0
    content_type: str | None = 'application/gzip'
    pause: float = 0.0
    stalls: bool = False
    has_length: bool = True


@dataclass
class Server:
    """Pages by path, and what was asked of them.

    Attributes:
        url: of the server, without a slash at the end.
        pages: by path, without a slash at the beginning; a list is answered one after the other,
            and then its last page again.
        requests: path and Range header (None without) of each request, in order.
        sent: bytes of content sent by path.
    """

    url: str
    pages: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)
    sent: dict = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)

    def next_page(self, path):
        page = self.pages.get(path, Page(status=404))
        if isinstance(page, list):
            page = page.pop(0) if len(page) > 1 else page[0]
        return page


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        state, path = self.server.state, self.path.lstrip('/')
        page, asked = state.next_page(path), self.headers.get('Range')
        state.requests.append((path, asked))
        start = int(re.fullmatch(r'bytes=(\d+)-', asked)[1]) if asked and page.ranges else 0
        if page.status != 200 or (start and start >= len(page.content)):
            self.send_error(page.status if page.status != 200 else 416)
            return
        body = page.content[start:]
        self.send_response(206 if start else 200)
        if start:
            size = len(page.content)
            self.send_header('Content-Range', f'bytes {start}-{size - 1}/{size + page.lie}')
        if page.content_type:
            self.send_header('Content-Type', page.content_type)
        if page.has_length:
            self.send_header('Content-Length', str(len(body) + page.lie))
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client may have left
            self.send(path, page, body[: page.stops_after])
            if page.stalls:
                state.done.wait(10)

    def send(self, path, page, body):
        piece = max(1, -(-len(body) // 10)) if page.pause else max(1, len(body))
        sent = self.server.state.sent
        for at in range(0, len(body), piece):
            # Counted first: the client may be done as soon as it has the bytes.
            sent[path] = sent.get(path, 0) + len(body[at : at + piece])
            self.wfile.write(body[at : at + piece])
            self.wfile.flush()
            time.sleep(page.pause)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serve():
    """A running server; it is gone afterwards."""
    with ThreadingHTTPServer(('127.0.0.1', 0), _Handler) as server:
        server.daemon_threads = True
        server.state = Server(f'http://127.0.0.1:{server.server_address[1]}')
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.state
        finally:
            server.state.done.set()
            server.shutdown()
            thread.join()


def mirrored(server, content, *paths, name='set.tar.gz'):
    """An archive with mirrors on the server, whether or not there is something."""
    urls = tuple(f'{server.url}/{path}' for path in paths)
    return Archive(name, hashlib.sha256(content).hexdigest(), len(content), urls)
