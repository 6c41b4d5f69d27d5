"""A browser that tests open pages in: headless Chromium, one process for each worker of pytest.

A test takes the fixture `open_page` of `conftest.py`. Where Chromium, its driver or selenium is not
installed, the test is skipped and says what is missing.
"""

import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HEIGHT = 900
WIDTHS = (400, 1200)
PROGRAMS = {'chromium': ('chromium', 'chromium-browser'), 'driver': ('chromedriver',)}
FLAGS = (
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--force-device-scale-factor=1',
)

# Boxes of text that somebody can see: what a closed <details> or a scrolled table hides has none.
_BOXES = """
const boxes = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode, parent = node.parentElement;
  if (!node.textContent.trim() || parent.closest('script, style, title, desc, noscript')) continue;
  if (parent.closest('details:not([open])') && !parent.closest('summary')) continue;
  if (!parent.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  let clip = {left: -1e9, right: 1e9, top: -1e9, bottom: 1e9};
  for (let up = parent; up; up = up.parentElement) {
    if (getComputedStyle(up).overflowX === 'visible') continue;
    const at = up.getBoundingClientRect();
    clip = {left: Math.max(clip.left, at.left), right: Math.min(clip.right, at.right),
            top: Math.max(clip.top, at.top), bottom: Math.min(clip.bottom, at.bottom)};
  }
  for (const at of range.getClientRects()) {
    const left = Math.max(at.left, clip.left), right = Math.min(at.right, clip.right);
    const top = Math.max(at.top, clip.top), bottom = Math.min(at.bottom, clip.bottom);
    if (right - left > 1 && bottom - top > 1)
      boxes.push([node.textContent.trim().slice(0, 60), left, top, right, bottom,
                  Boolean(parent.closest('svg'))]);
  }
}
return boxes;
"""
_WIDER = """
const most = document.documentElement.clientWidth;
return [document.documentElement.scrollWidth - most, most];
"""
_LEAST_SHARED = 3  # pixels in both directions: lines of text touch each other


def missing() -> str:
    """What a browser needs and this machine lacks, in words; '' for nothing."""
    if find_spec('selenium') is None:
        return "selenium is not installed: pip install -e '.[test]'"
    for what, names in PROGRAMS.items():
        if not any(map(shutil.which, names)):
            return f'there is no {what} of Chromium on this machine ({" or ".join(names)})'
    return ''


def start(profile: Path):
    """Starts Chromium without a window, with a fresh profile; the caller calls `quit`."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, PROGRAMS['chromium'])))
    for flag in (*FLAGS, f'--user-data-dir={profile}', f'--window-size={WIDTHS[-1]},{HEIGHT}'):
        options.add_argument(flag)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which('chromedriver')))


@dataclass(frozen=True)
class Page:
    """A page in the browser.

    Attributes:
        driver: of selenium, for all that is not here.
    """

    driver: object

    def errors(self) -> list[str]:
        """What the console said since the page was opened, or since it was asked."""
        return [entry['message'] for entry in self.driver.get_log('browser')]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        more, _ = self.driver.execute_script(_WIDER)
        return more

    def overlaps(self, of_figures: bool = False) -> list[tuple[str, str]]:
        """Texts that lie on each other.

        Args:
            of_figures: whether texts inside of figures count; those of matplotlib are outlines.
        """
        boxes = [box for box in self.driver.execute_script(_BOXES) if of_figures or not box[5]]
        boxes.sort(key=lambda box: box[2])
        found = []
        for index, (text, left, top, right, bottom, _) in enumerate(boxes):
            for other, other_left, other_top, other_right, other_bottom, _ in boxes[index + 1 :]:
                if other_top >= bottom:
                    break
                wide = min(right, other_right) - max(left, other_left)
                high = min(bottom, other_bottom) - max(top, other_top)
                if min(wide, high) >= _LEAST_SHARED:
                    found.append((text, other))
        return found

    def value(self, script: str):
        """What an expression of JavaScript is."""
        return self.driver.execute_script(f'return {script}')


def show(driver, path: Path, width: int, dark: bool) -> Page:
    """Opens a file in a window of a width, in one of the two colour schemes."""
    driver.get_log('browser')
    scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
    driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': [scheme]})
    size = {'width': width, 'height': HEIGHT, 'deviceScaleFactor': 1, 'mobile': width < 600}
    driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
    driver.get(path.resolve().as_uri())
    return Page(driver)
