"""What a YAML parser says of a wrong form, for people who never saw its words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml

_BEGINS = "*&!|>%@`"
_WORDS = {
    "mapping values are not allowed": (
        "a second ': ' in one line, or a line that is indented too far; put quotes around a text that holds ': '"
    ),
    "could not find expected ':'": "a key without ': ' behind it, or a line that is indented wrongly",
    "did not find expected ',' or ']'": "a list that is not closed by ], or a comma is missing in it",
    "did not find expected ',' or '}'": "keys in braces that are not closed by }, or a comma is missing between them",
    "did not find expected key": (
        "a line that is indented otherwise than those it belongs to, or a quote that is missing or too many"
    ),
    "did not find expected '-' indicator": "a line that is indented otherwise than the list it belongs to",
    "did not find expected node content": "a value is missing here, or a comma is too many",
    "found unexpected end of stream": "a text whose quote is not closed",
    "found unknown escape character": "a \\ in double quotes, which begins an escape; use single quotes",
    "block sequence entries are not allowed": "a list behind its key; begin it on the next line, or write [a, b]",
    "found unexpected ':'": "': ' where none may stand; put quotes around a text that holds it",
}


def in_words(error: yaml.MarkedYAMLError, text: str, line: int, column: int) -> str:
    """What is wrong, in a sentence; *line* and *column* count from 1."""
    problem = str(error.problem)
    lines = text.splitlines()
    at = lines[line - 1] if line <= len(lines) else ""
    if "\t" in at[: len(at) - len(at.lstrip())] or at[column - 1 : column] == "\t":
        return "a tab, which may not indent a line; use spaces"
    if "cannot start any token" in problem and at[column - 1 : column] in set(_BEGINS):
        return f"put quotes around a text that begins with {at[column - 1]}"
    if "document" in problem:
        return "a second document begins here; a model file holds one, so take the line --- out"
    words = next((words for known, words in _WORDS.items() if known in problem), problem)
    begun = error.context_mark.line + 1 if error.context_mark else line
    return f"{words}; it begins in line {begun}" if 1 < begun < line and "closed" in words else words
