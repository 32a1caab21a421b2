//! Templates that are hard to render as Jinja2 does.

use kvreplay::dataset::{Message, Role};

/// A message of a conversation.
pub fn message(role: Role, content: &str) -> Message {
    Message {
        role,
        content: content.to_owned(),
    }
}

/// Small templates, one for each way in which the engine would differ from Jinja2 if nothing were done.
pub const GAPS: [(&str, &str); 25] = [
    (
        "{% for c in 'añb' if c != 'a' %}{{ c }}{% if not loop.last %},{% endif %}{% endfor %}",
        "ñ,b",
    ),
    (
        "{{ none is iterable }}{{ 'abc' is sequence }}{{ {} is sequence }}{{ x is sequence }}{{ 1 is iterable }}",
        "FalseTrueTrueTrueFalse",
    ),
    (
        "{{ {'a': '<&>\\'\\u00e9', 'b': [1.0, 1e20, none, true]} | tojson }}",
        "{\"a\": \"<&>'é\", \"b\": [1.0, 1e+20, null, true]}",
    ),
    (
        "{{ {'a': [1, {}], 'é': []} | tojson(indent=2, ensure_ascii=true) }}",
        "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"\\u00e9\": []\n}",
    ),
    (
        "{{ {'b': 1, 'a': 2} | tojson(separators=(',', ':'), sort_keys=true) }}",
        "{\"a\":2,\"b\":1}",
    ),
    ("a{% generation %}b{% endgeneration %}\nc", "abc"),
    ("{% raw %}\n{{ x }}\n{% endraw %}\ny", "\n{{ x }}\ny"),
    (
        "{{ '%s-%s' % ('a', 1) ~ '!' }}{{ '%d%%' % 7 }}{{ -7 % 3 }}{{ 7.5 % 2 }}",
        "a-1!7%21.5",
    ),
    (
        "[{{ '\\x1c a\\u00a0\\u3000'|trim }}][{{ '\\x1fa\\x1c'.strip() }}][{{ '\\ufeffa'.strip()|length }}]",
        "[a][a][2]",
    ),
    (
        "{{ ' a\\x1cb  c '.split() }}{{ ' a b c '.split(none, 1) }}{{ 'a b c'.rsplit(' ', 1) }}",
        "['a', 'b', 'c']['a', 'b c ']['a b', 'c']",
    ),
    (
        "{{ 'a\\x0bb\\r\\nc\\u2028'.splitlines() }}",
        "['a', 'b', 'c']",
    ),
    (
        "{{ {'a': none, 'b': [true, 1.0, \"it's\"]} }}",
        "{'a': None, 'b': [True, 1.0, \"it's\"]}",
    ),
    ("{{ 'a' 'b' }}{{ '\\d' }}", "ab\\d"),
    ("  {% if true %}\n  x\n  {%- endif %}\n\n", "  x"),
    (
        "{{ missing }}{{ missing is defined }}{{ tools is none }}{{ documents is not none }}",
        "FalseTrueFalse",
    ),
    ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
    (
        "{% for i in range(5) %}{% if i == 3 %}{% break %}{% elif i is odd %}{% continue %}{% endif %}{{ i }}{% endfor %}",
        "02",
    ),
    (
        "{% set ns = namespace(a=1) %}{% for i in [1, 2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}",
        "4",
    ),
    (
        "{{ 'a/b'.partition('/')[2] }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}{{ 'abc'[::-1] }}",
        "bbcabcba",
    ),
    (
        "{{ [1, 2] + [3] }}{{ (1,) }}{{ [1, 2, 3][:-1] }}",
        "[1, 2, 3](1,)[1, 2]",
    ),
    (
        "{{ '<b>' | string }}{{ '<b>' }}{{ 1e16 }}{{ none | string }}",
        "<b><b>1e+16None",
    ),
    ("a\r\nb\rc\n", "a\nb\nc"),
    (
        "{% macro m(x, y=2) %}{{ x }}{{ y }}{% endmacro %}{{ m(1) }}{{ m(x=3, y=none) }}",
        "123None",
    ),
    (
        "{{ messages|length }}{{ messages[-1] is defined }}{{ 'x' in missing }}{{ add_generation_prompt }}",
        "0FalseFalseFalse",
    ),
    (
        "{{ {'a': 1}.items() | list }}{{ {'a': 1}.get('b') }}{{ 'x' if false }}",
        "[('a', 1)]None",
    ),
];
