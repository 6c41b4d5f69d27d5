"""A stand-in for the server of W&B: it keeps what runs send, as far as tests ask for it.

It answers the queries by which a client starts, resumes and uploads a run, and takes the streams of
their files. A line of a file that comes at a place that is taken already replaces what was there,
as with the real server: a client that does not resume overwrites.
"""

import contextlib
import gzip
import json
import re
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from wandb_artifacts import Artifacts

KEY = 'a' * 40  # any key of this length will do


class RefusedError(Exception):
    """What a query is refused with, in an answer whose status is good, as the real server does."""


class Runs:
    """What the server has received.

    Attributes:
        asked: the names of the queries, in their order.
        lines: of each run, by its id, the lines of each file, by its name.
        files: of each run the content of each file that it uploaded, by its name.
        states: of each run whether it is over, and with which exit code.
        told: of each run what its start said: displayName, groupName, jobType, tags, notes, config.
        artifacts: see `wandb_artifacts.Artifacts`.
        views: the saved views, each with its id, name, displayName and spec.
        presets: the saved kinds of charts, by their names.
        fault: how the server fails from now on: with a status of HTTP, or by 'silence'; None.
        on_stream: called with the id of a run whenever it streams something.
    """

    def __init__(self):
        self.asked = []
        self.lines = defaultdict(lambda: defaultdict(list))
        self.states = defaultdict(list)
        self.files = defaultdict(dict)
        self.told = defaultdict(dict)
        self.artifacts = Artifacts()
        self.views = []
        self.presets = {}
        self.fault = None
        self.on_stream = lambda run: None
        self.is_over = threading.Event()

    def history(self, run):
        """The records of a run, in the order of the server's lines."""
        return [json.loads(line) for line in self.lines[run]['wandb-history.jsonl']]

    def summary(self, run):
        """What the summary of a run says."""
        return json.loads((self.lines[run]['wandb-summary.json'] or ['{}'])[-1])

    def config(self, run):
        """The configuration of a run, without what W&B adds."""
        said = json.loads(self.told[run]['config'])
        return {key: each['value'] for key, each in said.items() if key != '_wandb'}

    def answer(self, name, variables):
        """The data that a query gets."""
        self.asked.append(name)
        if (of_artifacts := self.artifacts.answer(name, variables)) is not None:
            return of_artifacts
        if name == 'Viewer':
            return {'viewer': {'id': '1', 'entity': 'me', 'username': 'me', 'flags': '{}'}}
        if name == 'RunResumeStatus':
            known = variables['name'] in self.lines
            bucket = self._bucket(variables['name']) if known else None
            return {'model': {'id': 'p', 'name': 'vggres', 'entity': ENTITY, 'bucket': bucket}}
        if name == 'UpsertBucket':
            said = {key: each for key, each in variables.items() if each is not None}
            self.told[variables['name']].update(said)
            inserted = variables['name'] not in self.lines
            bucket = self._bucket(variables['name'])
            return {'upsertBucket': {'bucket': bucket, 'inserted': inserted}}
        if name == 'CreateRunFiles':
            place = f'/files/{variables["run"]}'
            files = [{'name': each, 'uploadUrl': f'{place}/{each}'} for each in variables['files']]
            return {'createRunFiles': {'runID': 'b', 'uploadHeaders': [], 'files': files}}
        if name == 'GetDefaultEntity':
            return {'viewer': {'id': '1', 'entity': ENTITY['name']}}
        if name == 'Runs':
            return {'project': self._counted(json.loads(variables['filters']))}
        if name == 'View':
            found = [{'node': each} for each in self.views if each['name'] == variables['viewName']]
            return {'project': {'allViews': {'edges': found}}}
        if name == 'CreateCustomChart':
            if variables['chartName'] in self.presets:
                raise RefusedError(f'{variables["chartName"]} already exists')
            self.presets[variables['chartName']] = json.loads(variables['spec'])
            return {'createCustomChart': {'chart': {'id': f'me/{variables["chartName"]}'}}}
        if name == 'UpsertView2':
            return {'upsertView': {'view': self._saved(variables), 'inserted': True}}
        return {}

    def _counted(self, filters):
        """A project with the number of runs of a group or an experiment; None without any run."""
        ((key, value),) = filters.items()
        asked = {
            'group': lambda run: self.told[run].get('groupName'),
            'config.experiment': lambda run: self.config(run).get('experiment'),
        }[key]
        count = sum(asked(run) == value for run in [*self.told])
        page = {'edges': [], 'pageInfo': {'endCursor': None, 'hasNextPage': False}}
        known = {'internalId': '1', 'runCount': count, 'readOnly': False, 'runs': page}
        return known if self.told else None

    def _saved(self, variables):
        """The view that was replaced, by its id, or one more."""
        view = {key: variables[key] for key in ('name', 'displayName', 'spec')}
        for each in self.views:
            if each['id'] == variables.get('id'):
                each.update(view)
                return each
        self.views.append(view | {'id': f'view{len(self.views)}'})
        return self.views[-1]

    def take(self, run, stream):
        """Takes what a run streams."""
        self.on_stream(run)
        for name, part in stream.get('files', {}).items():
            stored, at = self.lines[run][name], part['offset']
            stored[at : at + len(part['content'])] = part['content']
        if stream.get('complete'):
            self.states[run].append(stream['exitcode'])

    def take_file(self, path, content):
        """Takes a file that comes to '/artifacts/…' or '/files/<run>/…'."""
        kind, _, rest = path.strip('/').partition('/')
        if kind == 'artifacts':
            self.artifacts.take(rest, content)
        else:
            run, _, name = rest.partition('/')
            self.files[run][name] = content

    def _bucket(self, run):
        lines = self.lines[run]
        history, events = lines['wandb-history.jsonl'], lines['wandb-events.jsonl']
        return {
            'id': 'b',
            'name': run,
            'displayName': run,
            'projectId': 1,
            'project': {'name': 'vggres', 'entity': ENTITY},
            'config': '{}',
            'summaryMetrics': (lines['wandb-summary.json'] or ['{}'])[-1],
            'historyLineCount': len(history),
            'eventsLineCount': len(events),
            'logLineCount': 0,
            'historyTail': json.dumps(history[-1:]),
            'eventsTail': json.dumps(events[-1:]),
            'tags': [],
            'wandbConfig': '{"t": 1}',
        }


ENTITY = {'id': 'e', 'name': 'me'}


@contextlib.contextmanager
def serving():
    """A server on loopback: its address and its `Runs`."""
    runs = Runs()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_POST(self):
            body = self._body()
            if self._fails():
                return
            if self.path == '/graphql':
                query = json.loads(body)
                name = re.search(r'(?:query|mutation)\s+(\w+)', query['query'])[1]
                try:
                    answer = {'data': runs.answer(name, query.get('variables') or {})}
                except RefusedError as error:
                    answer = {'data': None, 'errors': [{'message': str(error)}]}
                text = json.dumps(answer)
                here = f'"uploadUrl": "http://{self.headers["Host"]}/'
                self._say(text.replace('"uploadUrl": "/', here))
                return
            if self.path.endswith('/file_stream'):
                runs.take(self.path.split('/')[-2], json.loads(body))
            self._say('{}')

        def do_PUT(self):
            body = self._body()
            if not self._fails():
                runs.take_file(unquote(self.path), body)
                self._say('{}')

        def do_GET(self):
            if not self._fails():
                self._say('{}')

        def _fails(self):
            if runs.fault == 'silence':
                runs.is_over.wait()
            if runs.fault:
                self._say('{"errors": [{"message": "out of order"}]}', runs.fault)
            return bool(runs.fault)

        def _body(self):
            body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
            is_packed = self.headers.get('Content-Encoding') == 'gzip'
            return gzip.decompress(body) if is_packed else body

        def _say(self, text, status=200):
            content = text.encode()
            self.send_response(status if status != 'silence' else 503)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):  # the client waits no longer
                self.wfile.write(content)

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_port}', runs
    finally:
        runs.is_over.set()
        server.shutdown()
        server.server_close()
