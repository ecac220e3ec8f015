"""A notebook without a mouse: nothing can be clicked, and the Tab key alone moves the focus."""

from __future__ import annotations

from tests.browser.jupyter_kit import Tab

_NO_MOUSE = """() => {
  const style = document.createElement('style');
  style.textContent = '* { pointer-events: none !important; }';
  document.head.append(style);
}"""
_FOCUSED = "(what) => document.activeElement?.matches(what) ?? false"
_WHERE = """() => {
  const { tagName, className, dataset } = document.activeElement;
  return `${tagName}.${className} ${JSON.stringify({ ...dataset })}`;
}"""


class Keys:
    """The keyboard of a tab."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        tab.page.evaluate(_NO_MOUSE)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tab.page.keyboard.press(key)

    def type(self, text: str) -> None:
        """Write over what is in the field that has the focus."""
        self.press("Control+a")
        self.tab.page.keyboard.type(text)

    def go(self, selector: str, most: int = 160) -> None:
        """Press Tab until the focus is there; Shift+Tab where it lies before the focus."""
        self.tab.page.wait_for_selector(selector, state="attached")
        key = "Shift+Tab" if self.tab.page.evaluate(_BEFORE, selector) else "Tab"
        seen = []
        for _ in range(most):
            if self.tab.page.evaluate(_FOCUSED, selector):
                return
            seen.append(self.tab.page.evaluate(_WHERE))
            self.press(key)
        raise AssertionError(f"{key} does not come to {selector}: {seen[-8:]}")


_BEFORE = """(what) => {
  const wanted = document.querySelector(what);
  return Boolean(wanted.compareDocumentPosition(document.activeElement)
    & Node.DOCUMENT_POSITION_FOLLOWING);
}"""
