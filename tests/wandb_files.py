"""What W&B wrote, as its own programs read it."""

import json
import subprocess
import sys
from pathlib import Path


def inspect(directory, *options):
    """What W&B itself reads from the one offline run below a directory."""
    (run,) = Path(directory).glob('wandb/offline-run-*')
    command = [sys.executable, '-m', 'wandb', 'leet', 'inspect', '--json', *options, str(run)]
    output = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=directory
    ).stdout
    return json.loads(output) if options else [json.loads(line) for line in output.splitlines()]
