'use strict';
{
  const told = JSON.parse(document.getElementById('charts-data').textContent);
  const section = document.querySelector('.charts');
  const boxes = [...section.querySelectorAll('.lines input')];
  const isDark = matchMedia('(prefers-color-scheme: dark)').matches;
  const font = getComputedStyle(document.body).fontFamily;
  const quiet = '#59626d';
  const config = {
    background: null,
    font,
    axis: {labelColor: quiet, titleColor: quiet, domainColor: quiet, tickColor: quiet,
           gridColor: '#dfe3e8', titleFontWeight: 'normal', labelFontSize: 12, titleFontSize: 12},
    legend: {disable: true},
    view: {stroke: null},
  };

  const records = ({columns, rows}) =>
    rows.map((row) => Object.fromEntries(columns.map((name, place) => [name, row[place]])));
  const hidden = () => boxes.filter((box) => !box.checked).map((box) => box.value);

  const draw = async ({name, table, specification}) => {
    const figure = document.getElementById(`chart-${name}`);
    const {title, ...rest} = specification;
    const values = records(told.tables[table]);
    const spec = {...rest, width: 'container', data: {name: 'wandb', values}};
    const {view} = await vegaEmbed(figure.querySelector('.drawn'), spec, {
      config,
      renderer: 'svg',
      actions: false,
      logLevel: 1,  // errors alone: a chart may be empty, of networks that are all hidden
      tooltip: {theme: isDark ? 'dark' : 'light'},
    });
    for (const choice of figure.querySelectorAll('select')) {
      choice.addEventListener('change', () =>
        view.signal(choice.dataset.parameter, JSON.parse(choice.value)).runAsync());
    }
    await view.signal('hidden', hidden()).runAsync();
    return view;
  };

  section.hidden = false;  // a chart takes its width from the page
  Promise.all(told.charts.map(draw)).then((views) => {
    document.documentElement.classList.add('has-charts');
    for (const box of boxes) {
      box.addEventListener('change', () =>
        views.forEach((view) => view.signal('hidden', hidden()).runAsync()));
    }
  }, (error) => {  // the static figures are there
    section.hidden = true;
    console.error(error);
  });
}
