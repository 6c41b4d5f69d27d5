"""Brings the results of a run into the documentation: figures, claims, and the tables of READMEs.

    python docs/refresh.py runs/digits

The directory holds the finished sweeps and what `launch.py --claims` wrote. A test compares the
READMEs with what this leaves in `docs/run/`.
"""

import json
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent
READMES = {'en': DOCS.parent / 'README.md', 'zh': DOCS.parent / 'README.zh.md'}
HEADINGS = {'en': ('claim', 'verdict', 'one number'), 'zh': ('说法', '结论', '一个数字')}
BEGIN, END = '<!-- claims -->', '<!-- /claims -->'
COPIES = {
    'claims.json': 'run/claims.json',
    'claims.md': 'claims.md',
    'claims.zh.md': 'claims.zh.md',
    'depth/verdict.json': 'run/depth.json',
    'depth/figures/error_against_depth.png': 'error_against_depth.png',
    'gradient_flow/figures/gradient_by_layer_glorot.png': 'gradient_by_depth.png',
    'identity_shortcut/figures/error_by_shortcut.png': 'error_by_shortcut.png',
}


def table(language: str) -> str:
    """The claims of `docs/run/claims.json` as a Markdown table in one language."""
    rows = json.loads((DOCS / 'run' / 'claims.json').read_text())[language]
    lines = [HEADINGS[language], ('---',) * 3]
    lines += [(sentence, f'**{verdict}**', number) for sentence, verdict, number in rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def main(workdir: Path) -> None:
    """Copies the files and rewrites the tables."""
    (DOCS / 'run').mkdir(exist_ok=True)
    for source, target in COPIES.items():
        shutil.copy(workdir / source, DOCS / target)
    for language, path in READMES.items():
        before, rest = path.read_text().split(BEGIN)
        _, after = rest.split(END)
        path.write_text(f'{before}{BEGIN}\n{table(language)}\n{END}{after}')


if __name__ == '__main__':
    if len(sys.argv) != 2 or not Path(sys.argv[1], 'claims.json').exists():
        sys.exit('usage: python docs/refresh.py WORKDIR, after launch.py --claims wrote into it')
    main(Path(sys.argv[1]))
