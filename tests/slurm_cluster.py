"""A real Slurm of two virtual nodes on this machine, in a folder of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ('slurmctld', 'slurmd', 'sbatch', 'squeue', 'scancel', 'scontrol')
NODES = ('n1', 'n2')
# No authentication, no cgroups and no daemon of the system: all of it runs as one user, root, in a
# container. Credentials expire as soon as they may, because a job starts anew only then.
_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=5,batch_sched_delay=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=15
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 State=UNKNOWN
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 State=UNKNOWN
PartitionName=main Nodes={nodes[0]},{nodes[1]} Default=YES MaxTime=INFINITE State=UP
"""


def unavailable() -> str:
    """Why there can be no such cluster here; '' where there can be."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    if missing:
        return f'Slurm is not installed: no {", ".join(missing)}'
    return '' if os.getuid() == 0 else 'the daemons of Slurm have to run as root'


class Cluster:
    """The daemons of a controller and two nodes; a context manager around their life."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._daemons: dict[str, subprocess.Popen] = {}
        self.environment = os.environ | {
            'SLURM_CONF': str(folder / 'slurm.conf'),
            'PATH': _path(),
        }

    def __enter__(self) -> 'Cluster':
        (self._folder / 'state').mkdir()
        text = _CONFIGURATION.format(
            folder=self._folder, host=socket.gethostname(), ports=_free_ports(3), nodes=NODES
        )
        (self._folder / 'slurm.conf').write_text(text)
        try:
            self._start('slurmctld', 'slurmctld', '-D')
            for node in NODES:
                self._start(node, 'slurmd', '-D', '-N', node)
            self._wait_for_idle_nodes()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(subprocess.SubprocessError):
            self.say('scancel', '--user=root', '--signal=KILL', '--full')
        for node in NODES:
            self._kill_jobs(node)
        for daemon in self._daemons.values():
            daemon.kill()
            daemon.wait()

    def say(self, *command: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def lose(self, node: str) -> None:
        """Kills all processes of a node, at once, and tells the controller of its loss."""
        self._daemons[node].kill()
        self._kill_jobs(node)
        self._daemons[node].wait()
        self.say('scontrol', 'update', f'nodename={node}', 'state=down', 'reason=lost')

    def _start(self, name: str, *command: str) -> None:
        with (self._folder / f'{name}.out').open('w') as out:
            self._daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=out, stderr=out, start_new_session=True
            )

    def _wait_for_idle_nodes(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.SubprocessError):
                states = self.say('sinfo', '--noheader', '--Node', '--format=%T').split()
                if states == ['idle'] * len(NODES):
                    return
            time.sleep(0.5)
        outputs = ''.join(path.read_text()[-2000:] for path in self._folder.glob('*.log'))
        raise RuntimeError(f'Slurm does not start: {outputs}')

    def processes(self, **variables: str) -> list[int]:
        """The processes of jobs on this cluster, by variables of their environment."""
        variables['SLURM_CONF'] = self.environment['SLURM_CONF']
        wanted = {f'{name}={value}'.encode() for name, value in variables.items()}
        found = []
        for process in Path('/proc').glob('[0-9]*'):
            with contextlib.suppress(OSError):
                if wanted <= set((process / 'environ').read_bytes().split(b'\0')):
                    found.append(int(process.name))
        return found

    def _kill_jobs(self, node: str) -> None:
        """Kills what the jobs on a node have started, and the keepers of their steps."""
        started = self.processes(SLURMD_NODENAME=node)
        keepers = [pid for each in started if _is_keeper(pid := _parent(each))]
        for pid in (*keepers, *started):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _parent(pid: int) -> int:
    """The parent of a process; 0 where it has ended."""
    with contextlib.suppress(OSError):
        return int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[1])
    return 0


def _is_keeper(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f'/proc/{pid}/comm').read_text().strip() == 'slurmstepd'
    return False


def _path() -> str:
    """Where programs are looked for: daemons stand where only root looks."""
    return f'{os.environ["PATH"]}:/usr/sbin:/sbin'


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(('127.0.0.1', 0))
        return [each.getsockname()[1] for each in sockets]
