"""Judges the story and its causes, claim by claim, from the finished sweeps of a directory."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

import experiments
from vggres.commands.index import Index
from vggres.errors import UserError
from vggres.findings import claims, claims_page, cures_telling, remains
from vggres.findings.claims import Evidence, Finding
from vggres.findings.languages import ENGLISH, SweepProtocol
from vggres.sweeps import sweep as sweeps
from vggres.sweeps.sweep import SWEEP_FILE, Sweep, cells_in_words
from vggres.tracking import fragments, modes
from vggres.tracking.claims_run import mirror_claims


def judge(workdir: Path, where: Sequence[str], console: Console) -> list[Finding]:
    """Judges the claims of the popular story and, where a sweep is there, those about causes.

    It writes `claims.html`, `.md`, `.zh.md` and `.json`, as well as the same four of `causes`, and
    prints what each claim comes to. Each of the two tables is adjusted for its own contrasts. Last,
    `remains.html`, `.md` and `.zh.md` say in short what is left of it all.

    Args:
        workdir: where the sweeps are.
        where: the flags that a command needs to mean this directory.
        console: where to print.

    Returns:
        What became of each claim, those of the story first.

    Raises:
        UserError: where no sweep is finished, one is damaged, or nothing can be written.
    """
    pages = {'claims': experiments.claims(), 'causes': experiments.causes()}
    names = list(dict.fromkeys(claim.sweep for told in pages.values() for claim in told))
    commands = {name: ' '.join(['python launch.py --sweep', name, *where]) for name in names}
    finished = {name: sweep for name in names if (sweep := _finished(workdir / name))}
    if not finished:
        first = dict.fromkeys(commands[claim.sweep] for claim in pages['claims'])
        raise UserError(
            f'there is no finished sweep in {workdir} that claims rest on; first run '
            f'{"; ".join(first)}'
        )
    if not os.access(workdir, os.W_OK):
        raise UserError(f'cannot write to {workdir}: it is read-only.')
    evidence = {name: _evidence(sweep, console) for name, sweep in finished.items()}
    findings: list[Finding] = []
    pages_before, files = _findings_in(workdir), []
    for page, told in pages.items():
        own = dict.fromkeys(claim.sweep for claim in told)
        if not set(own) & set(finished):
            continue
        found = claims.judge(told, evidence)
        missing = {name: commands[name] for name in own if name not in finished}
        protocols = {name: protocol(sweep) for name, sweep in finished.items() if name in own}
        paths = claims_page.write(workdir, found, missing, protocols, page)
        _show(found, missing, console)
        console.print(f'{page}: {", ".join(map(str, paths.values()))}', soft_wrap=True)
        findings += found
        files += paths.values()
    _write_what_remains(workdir, findings, evidence, commands, console)
    if _findings_in(workdir) != pages_before:
        _mirror(workdir, finished, findings, files, console)
    Index(workdir).write()
    return findings


def _findings_in(workdir: Path) -> list[bytes]:
    """The findings that stand in a directory, to see whether they have changed."""
    files = [workdir / f'{page}.json' for page in ('claims', 'causes')]
    return [path.read_bytes() if path.is_file() else b'' for path in files]


def _mirror(
    workdir: Path,
    finished: Mapping[str, Sweep],
    findings: Sequence[Finding],
    files: Sequence[Path],
    console: Console,
) -> None:
    """Logs the findings to W&B, and prints where they are, or what uploads them."""
    say = partial(console.print, soft_wrap=True)
    said: list[str] = []
    configs = {
        name: modes.resolved_again(sweep.config, said.append) for name, sweep in finished.items()
    }
    for sentence in dict.fromkeys(said):
        say(sentence)
    statuses = {each.claim.key: each.status for each in findings}
    if address := mirror_claims(configs, workdir, statuses, files, on_failure=say):
        say(f'W&B: {address}')
    elif command := fragments.upload_command(workdir):
        say(f'upload to W&B: {command}')


def _write_what_remains(
    workdir: Path,
    findings: Sequence[Finding],
    evidence: Mapping[str, Evidence],
    commands: Mapping[str, str],
    console: Console,
) -> None:
    arms = {name: cures_telling.within(each.verdict) for name, each in evidence.items()}
    first = next(commands[claim.sweep] for claim in experiments.causes())
    told = {name: each for name, each in arms.items() if each}
    paths = remains.write(workdir, findings, told, first)
    console.print(f'what remains: {", ".join(map(str, paths.values()))}', soft_wrap=True)


def _show(findings: Sequence[Finding], missing: Mapping[str, str], console: Console) -> None:
    """Prints the findings, and the commands that would measure the rest."""
    table = Table('claim', 'status', 'number', show_lines=True)
    for finding in findings:
        table.add_row(*claims_page.short_row(finding, ENGLISH))
    console.print(table)
    for command in missing.values():
        console.print(f'not measured yet: {command}', soft_wrap=True)


def _finished(directory: Path) -> Sweep | None:
    """The sweep in a directory, if some of its cells are finished."""
    if not (directory / SWEEP_FILE).exists():
        return None
    sweep = sweeps.load(directory)
    return sweep if sweep.results() else None


def _evidence(sweep: Sweep, console: Console) -> Evidence:
    for damage in sweep.damages():
        console.print(damage, soft_wrap=True)
    if missing := sweep.missing():
        console.print(
            f'{sweep.name}: no result of {len(missing)} of {cells_in_words(len(sweep.cells))} yet.'
        )
    verdict = experiments.load(sweep.name).analyse(sweep)
    return Evidence(sweep.results(), verdict, sweep.depths(), _frozen(sweep))


def _frozen(sweep: Sweep) -> str | None:
    """The commit that froze all margins before such data were looked at; None for other data.

    Changed labels make other data, and a run of uncommitted code confirms nothing.
    """
    commits = [result.git_commit or '+' for result in sweep.results()]
    if sweep.config.data.label_noise or any(commit.endswith('+') for commit in commits):
        return None
    return experiments.FROZEN.get(sweep.config.data.name)


def protocol(sweep: Sweep) -> SweepProtocol:
    """What the findings of a sweep hold for."""
    at = [cell.coordinates() for cell in sweep.cells]
    runs = Counter((each['variant'], each['depth']) for each in at).values()
    results = sweep.results()
    steps = [result.steps for result in results]
    return SweepProtocol(
        finished=len(results),
        cells=len(sweep.cells),
        data=sweep.config.data.name,
        steps=(min(steps), max(steps)),
        depths=sorted({each['depth'] for each in at}),
        seeds=(min(runs), max(runs)),
        learning_rates=sorted({cell.config.optimizer.learning_rate for cell in sweep.cells}),
        commits=sorted({_short(result.git_commit) for result in results if result.git_commit}),
        hardware=sorted({result.hardware for result in results}),
    )


def _short(commit: str) -> str:
    """The first digits of a commit, with the mark of a changed working tree, if there is one."""
    return commit[:7] + commit[40:]
