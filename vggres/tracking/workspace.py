"""Dashboards of Weights & Biases as code: a saved view of the project for each sweep.

A view has a name that follows from its sweep, so that it is replaced and never doubled. What
somebody has changed and saved by hand is kept: then ours stands beside it. Whether that is so is
told from a fingerprint, which every view carries in its last panel. `wandb-workspaces` (the extra
`dashboard`) builds what W&B reads, and is imported only where it is needed.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vggres.errors import UserError
from vggres.figures.charts import Chart, preset
from vggres.probes.quantities import Quantity
from vggres.tracking import modes
from vggres.tracking.summary import table_key

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

_MOST_RUNS = 100  # drawn in a panel; W&B's default is ten
_ALONG_LAYERS = 'gradient_along_layers'  # the kind of charts in the section of gradients
_MARK = re.compile(r'<!-- vggres [0-9a-f]{16} -->')
_DRAWN_ANEW = ('__id__', 'id', 'ref')  # keys in a view whose values are random
_ABOUT = (
    '`python launch.py --dashboard` has made this view, and replaces it the next time. If you save '
    'changes to it, it stays as it is, and a new one is made beside it.'
)


@dataclass(frozen=True)
class View:
    """What the view of a sweep shows.

    Attributes:
        sweep: its name, which its runs have in their configuration as `experiment`.
        group: the group of its runs, which its directory has alone; '' for all sweeps of the name.
        title: of the view.
        text: what is claimed of the sweep, as Markdown.
        figures: the names of the sweep's own figures, which its summary run has.
        quantities: the quantities whose courses along the layers are shown.
        charts: those of the summary run, as far as they are known.
    """

    sweep: str
    group: str
    title: str
    text: str
    figures: Sequence[str]
    quantities: Sequence[Quantity]
    charts: Sequence[Chart] = ()


def specification(view: View) -> dict[str, Any]:
    """A view as the JSON that W&B stores; it needs neither credential nor network.

    Raises:
        UserError: without the extra `dashboard`.
    """
    return _as_json(_workspace(view, '', ''))


def save(view: View, entity: str, project: str) -> str:
    """Makes or replaces the view of a sweep in a project, and returns its address.

    Args:
        view: what to show.
        entity: the user or team; '' for the credential's default.
        project: the name of the project.

    Raises:
        UserError: without the extra `dashboard`, a credential, a network, or runs of the sweep, and
            where W&B refuses the view.
    """
    os.environ.setdefault('WANDB_SILENT', 'true')
    with _one_line():
        import wandb

        if not wandb.login(prompt=False):
            raise UserError('--dashboard needs a credential of W&B: `wandb login`, or --dry_run.')
        api = wandb.Api()
        entity = entity or api.default_entity
        _check_runs(api, f'{entity}/{project}', view)
        for kind in dict.fromkeys(chart.kind for chart in view.charts):
            _make_preset(api, entity, kind)
        workspace = _workspace(view, entity, project)
        from wandb_workspaces.workspaces import internal

        workspace._internal_name, workspace._internal_id = _place(internal, workspace, view)
        internal.upsert_view2(workspace._to_model())
        return workspace.url


def _check_runs(api: Any, path: str, view: View) -> None:
    filters = {'group': view.group} if view.group else {'config.experiment': view.sweep}
    try:
        count = len(api.runs(path, filters=filters, per_page=1))
    except ValueError:  # there is no such project
        count = 0
    if not count:
        raise UserError(
            f'{path} has no runs of {view.group or view.sweep}: run the sweep online, or upload it '
            'by `wandb sync`.'
        )


def _make_preset(api: Any, entity: str, kind: str) -> None:
    """Stores how charts of a kind are drawn, where it is not stored yet.

    Its name has a digest of it, so that one that has changed is another one.
    """
    try:
        api.create_custom_chart(
            entity=entity,
            name=_preset_name(kind),
            display_name=f'vggres: {kind.replace("_", " ")}',
            spec_type='vega2',
            access='private',
            spec=preset(kind),
        )
    except Exception as error:  # of many kinds, which W&B does not name
        if 'already exists' not in str(error):
            raise


def _preset_name(kind: str) -> str:
    text = json.dumps(preset(kind), sort_keys=True)
    return f'vggres_{kind}_{hashlib.sha256(text.encode()).hexdigest()[:8]}'


def _place(internal: Any, workspace: 'Workspace', view: View) -> tuple[str, str]:
    """The name of the first view of ours that nobody has changed, and its id; '' for a new one."""
    number = 1
    while True:
        # Without hyphens, in which the library looks for parts of its own.
        own = f'vggres{(view.group or view.sweep).replace("-", "")}{number if number > 1 else ""}'
        name = internal._url_query_str_to_internal_name(own)
        try:
            there = internal.View.from_name(workspace.entity, workspace.project, name)
        except ValueError:
            return name, ''
        spec = json.loads(there.spec.model_dump_json(by_alias=True, exclude_none=True))
        if _fingerprint(spec) in json.dumps(spec):
            return name, there.id
        number += 1


def _workspace(view: View, entity: str, project: str) -> 'Workspace':
    """The view with its fingerprint."""
    mark = _fingerprint(_as_json(_built(view, entity, project, mark='')))
    return _built(view, entity, project, f'<!-- vggres {mark} -->')


def _built(view: View, entity: str, project: str, mark: str) -> 'Workspace':
    try:
        import wandb_workspaces.reports.v2 as panels
        from wandb_workspaces import expr, workspaces
    except ImportError:
        raise UserError("--dashboard needs an extra: pip install -e '.[dashboard]'") from None
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=f'vggres: {view.group or view.sweep}',
        sections=[
            workspaces.Section(name, panels=[*own], is_open=is_open, pinned=is_open)
            for name, own, is_open in _sections(panels, view, entity, mark)
        ],
        settings=workspaces.WorkspaceSettings(x_axis='epoch', max_runs=_MOST_RUNS),
        runset_settings=workspaces.RunsetSettings(
            filters=expr.And(
                expr.Metric('Group') == view.group
                if view.group
                else expr.Config('experiment') == view.sweep
            ),
            groupby=[expr.Config('variant'), expr.Config('model.depth')],
            pinned_columns=[
                *('config:variant', 'config:model.depth', 'config:seed'),
                *('summary:status', 'summary:train_error', 'summary:validation_error'),
            ],
        ),
    )


def _sections(
    panels: Any, view: View, entity: str, mark: str
) -> Iterator[tuple[str, Iterable[Any], bool]]:
    """The name, the panels and whether it is open, of each section."""
    drawn = {
        chart.name: (chart.kind, _custom_chart(panels, chart, entity)) for chart in view.charts
    }
    errors = {'train': 'Training', 'validation': 'Validation'}
    yield (
        'Error against depth',
        [
            *(chart for kind, chart in drawn.values() if kind != _ALONG_LAYERS),
            *(
                panels.ScatterPlot(
                    title=f'{name} error [%] against depth',
                    x=panels.Config('model.depth'),
                    y=panels.SummaryMetric(f'{split}_error'),
                )
                for split, name in errors.items()
            ),
            *(panels.MediaBrowser(media_keys=['charts']) for _ in view.charts[:1]),
            *(panels.MediaBrowser(media_keys=[f'figures/{name}']) for name in view.figures),
        ],
        True,
    )
    curves = {f'{split}/error': f'{name} error [%]' for split, name in errors.items()}
    curves |= {f'{split}/loss': f'{name} loss' for split, name in errors.items()}
    yield 'Learning curves by family and depth', _lines(panels, curves), True
    yield (
        'Gradients along layers',
        [
            *(chart for kind, chart in drawn.values() if kind == _ALONG_LAYERS),
            *(
                panels.MediaBrowser(title=each.title, media_keys=[f'{kind}/{each.name}'])
                for each in view.quantities
                for kind in ('by_layer', 'heat_map')
            ),
        ],
        False,
    )
    yield 'Claims', [panels.MarkdownPanel(markdown=f'## {view.title}\n\n{view.text}')], False
    speed = {'images_per_second': 'Images per second', 'gradient_norm': 'Norm of the gradient'}
    ends = {
        'diverged_at_step': 'The update at which a run diverged',
        'attempts': 'Processes that trained a cell',
        'seconds': 'Seconds',
        'peak_memory_mb': 'Memory at its peak [MB]',
    }
    yield (
        'Throughput and failures',
        [
            *_lines(panels, speed),
            *(
                panels.BarPlot(title=title, metrics=[panels.SummaryMetric(key)])
                for key, title in ends.items()
            ),
        ],
        False,
    )
    yield 'About this view', [panels.MarkdownPanel(markdown=f'{_ABOUT}\n\n{mark}')], False


def _custom_chart(panels: Any, chart: Chart, entity: str) -> Any:
    """A chart of W&B of the runs in the summary run's table."""
    name = _preset_name(chart.kind)
    return panels.CustomChart(
        query={'summaryTable': {'tableKey': table_key(chart.table)}},
        chart_name=f'{entity}/{name}' if entity else name,
        chart_fields=chart.fields(),
        chart_strings={'title': chart.title_at_first()},
    )


def _lines(panels: Any, titles: dict[str, str]) -> list[Any]:
    """A panel for each key, with the mean and the range of each group of runs against the epoch."""
    return [
        panels.LinePlot(
            title=title,
            x='epoch',
            y=[key],
            groupby_aggfunc='mean',
            groupby_rangefunc='minmax',
            max_runs_to_show=_MOST_RUNS,
        )
        for key, title in titles.items()
    ]


def _as_json(workspace: 'Workspace') -> dict[str, Any]:
    return json.loads(workspace._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))


def _fingerprint(spec: dict[str, Any]) -> str:
    """A digest of a view without its mark and without what is random in it."""
    text = json.dumps(_without_random(spec), sort_keys=True)
    return hashlib.sha256(_MARK.sub('', text).encode()).hexdigest()[:16]


def _without_random(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_random(v) for key, v in value.items() if key not in _DRAWN_ANEW}
    return [_without_random(v) for v in value] if isinstance(value, list) else value


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """What W&B raises becomes a `UserError` of one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f'W&B has not taken the dashboard: {modes.reason(error)}') from None
