import pytest
from absl import flags

from vggres.commands import executor_flags
from vggres.errors import UserError
from vggres.executors.options import LocalOptions, RayOptions, SlurmOptions


@pytest.fixture
def options():
    """A command line → the options of its executor."""

    def options(*argv):
        values = flags.FlagValues()
        flags.DEFINE_integer('workers', None, '', flag_values=values)
        executor_flags.define(values)
        values(['launch.py', *argv])
        return executor_flags.options(
            {name: values[name].value for name in values if values[name].present}
        )

    return options


def test_cells_run_on_this_machine_where_nothing_else_is_said(options):
    assert options() == LocalOptions(None)
    assert options('--workers=3') == options('--executor=local', '--workers', '3')
    assert options('--workers=3') == LocalOptions(3)


def test_the_flags_of_slurm_become_its_options(options):
    every = (
        *('--executor', 'slurm', '--slurm.partition', 'gpu', '--slurm.account=vision'),
        *('--slurm.gpus', '1', '--slurm.cpus=4', '--slurm.memory=8G', '--slurm.time', '4:00:00'),
        *('--slurm.parallel=20', '--slurm.extra', '--qos=low --nodelist=n1'),
    )
    assert options(*every) == SlurmOptions(
        partition='gpu',
        account='vision',
        gpus=1,
        cpus=4,
        memory='8G',
        time='4:00:00',
        parallel=20,
        extra='--qos=low --nodelist=n1',
    )
    assert options('--executor=slurm') == SlurmOptions()


def test_the_flags_of_ray_become_its_options(options):
    found = options('--executor=ray', '--ray.address', 'auto', '--ray.gpus=0.25')
    assert found == RayOptions('auto', 0.25)


def test_a_time_that_slurm_would_refuse_is_refused_first(options):
    with pytest.raises(UserError, match=r"--slurm.time '4h' is no time limit"):
        options('--executor=slurm', '--slurm.time=4h')
