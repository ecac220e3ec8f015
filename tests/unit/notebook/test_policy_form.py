"""The form and the YAML say the same; what the form does not hold stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.notebook.policy_form import Form, NotAFormError, form_of, with_form, written

WORD = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
NAMES = st.builds("{}{}.com".format, st.sampled_from(["", "*.", "a."]), WORD)
FORMS = st.builds(
    Form,
    name=WORD,
    namespace=WORD,
    labels=st.dictionaries(WORD, WORD, max_size=3).map(lambda d: tuple(d.items())),
    names=st.lists(NAMES, max_size=3, unique=True).map(tuple),
    dns=st.booleans(),
)
PORTS = st.lists(
    st.tuples(st.integers(1, 65535).map(str), st.sampled_from(["TCP", "UDP"])),
    max_size=3,
    unique=True,
).map(tuple)


@settings(deadline=None, max_examples=30)
@given(FORMS, PORTS)
def test_a_form_comes_back_from_its_yaml(form: Form, ports: tuple[tuple[str, str], ...]) -> None:
    form = replace(form, ports=ports if form.names else ())
    text = written(form)
    assert form_of(text) == form
    assert parse_policies(text)[0].name == form.name


@settings(deadline=None, max_examples=30)
@given(FORMS)
def test_other_fields_survive(form: Form) -> None:
    text = written(Form("one", labels=(("app", "web"),), names=("a.com",)))
    text += "  egressDeny:\n    - toCIDR: [10.0.0.0/8]  # kept\n"
    changed = with_form(text, form)
    assert form_of(changed) == form
    assert "egressDeny" in changed
    assert "10.0.0.0/8" in changed


@pytest.mark.parametrize("text", ["a: [", "kind: NetworkPolicy", ""])
def test_what_is_no_form_says_so(text: str) -> None:
    with pytest.raises(NotAFormError):
        form_of(text)
