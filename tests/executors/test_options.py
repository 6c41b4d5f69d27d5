import pytest

from vggres.errors import UserError
from vggres.executors.options import RayOptions, SlurmOptions


@pytest.mark.parametrize(
    ('time', 'seconds'),
    [
        # The six forms that sbatch's manual lists under --time.
        ('90', 90 * 60),
        ('1:30', 90),
        ('4:00:00', 4 * 3600),
        ('1-12', 36 * 3600),
        ('1-12:30', 36 * 3600 + 30 * 60),
        ('2-00:00:05', 2 * 86400 + 5),
        (None, None),
    ],
)
def test_times_mean_what_they_mean_to_slurm(time, seconds):
    assert SlurmOptions(time=time).limit_seconds() == seconds


@pytest.mark.parametrize('time', ['', '0', '4h', '1:2:3:4', '1-', '-5', '1-2:3:4:5', ':30'])
def test_what_is_no_time_is_one_line(time):
    with pytest.raises(UserError, match=r'--slurm.time .* is no time limit') as caught:
        SlurmOptions(time=time)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('gpus', [0.0, 0.25, 1.0, 2.0])
def test_shares_of_a_gpu_and_whole_ones(gpus):
    assert RayOptions(gpus=gpus).gpus == gpus


@pytest.mark.parametrize('gpus', [1.5, -0.5, float('nan'), float('inf')])
def test_other_numbers_of_gpus_are_one_line(gpus):
    with pytest.raises(UserError, match=r'--ray.gpus .*: give a fraction below 1 or a whole'):
        RayOptions(gpus=gpus)
