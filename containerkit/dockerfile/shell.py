"""Variables, quotes and escapes in the words of instructions.

::

    word        = { text | escape any | "'" text "'" | double | variable }
    double      = '"' { text | escape ( '"' | "$" | escape ) | variable } '"'
    variable    = "$" name | "${" name [ modifier ] "}"
    name        = letter or "_", then letters, digits, "_" | digits | one of @ * # ? - $ !
    modifier    = [":"] ("-" | "+" | "?") word      default, alternative, refusal; with ":" empty is as unset
                | ("#" | "##" | "%" | "%%") pattern shortest or longest match taken from the front or the back
                | "/" pattern "/" word | "//" pattern "/" word
    pattern     = "*" any characters, "?" one, escape any: that one

Source: the Dockerfile reference, "Environment replacement"; POSIX, Shell Command Language 2.6.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from containerkit.dockerfile.patterns import removed, replaced
from containerkit.errors import InvalidArgument

#: Text, and whether it was quoted: white space in quoted text does not end a word.
Piece = tuple[str, bool]

_NAME = re.compile(r"[^\W\d]\w*|\d+|[@*#?\-$!]")
_DEEPEST = 50
#: Characters that the variables of one text may come to: each can be many times the one before it.
_LARGEST = 1 << 24


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """``word`` without its quotes, and with its variables replaced.

    Raises:
        InvalidArgument: a quote or brace that does not end, a modifier there is not, or one that refuses (``?``).
    """
    return _joined(_Reader(word, variables, escape).until(""))


def expand_text(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """The content of a heredoc: variables and escapes as in a word, quotes as they are."""
    return _joined(_Reader(text, variables, escape, keeps_quotes=True).until(""))


def expand_words(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """As :func:`expand`, split at white space that is not quoted, be it of the text or of a variable's value."""
    words: list[str] = []
    current: str | None = None
    for piece, is_quoted in _Reader(text, variables, escape).until(""):
        if is_quoted:
            current = (current or "") + piece
            continue
        for part in re.split(r"(\s+)", piece):
            if part.isspace():
                words += [] if current is None else [current]
                current = None
            elif part:
                current = (current or "") + part
    return words + ([] if current is None else [current])


def missing(word: str, variables: Mapping[str, str], escape: str = "\\") -> tuple[str, ...]:
    """The variables that ``word`` uses, that there are not, and for which it has no default.

    Raises:
        InvalidArgument: as :func:`expand`, but not because of ``?``: that depends on the values.
    """
    reader = _Reader(word, variables, escape, refuses=False)
    reader.until("")
    return tuple(dict.fromkeys(reader.absent))


def split(text: str, escape: str = "\\") -> tuple[list[str], bool]:
    """The words of ``text``, with their quotes, and whether each quote ends."""
    other = rf"[^\s'\"{re.escape(escape)}]+"
    escaped = rf"{re.escape(escape)}."
    double = rf'"(?:[^"{re.escape(escape)}]|{escaped})*"'
    words: list[str] = []
    at, word = 0, ""
    piece = re.compile(rf"(\s+)|{other}|{escaped}|'[^']*'|{double}", re.DOTALL)
    while at < len(text):
        found = piece.match(text, at)
        if found is None:
            # A quote that does not end, or an escape at the very end, which is dropped as Docker does.
            rest = text[at:]
            word += "" if rest == escape else rest
            return words + ([word] if word else []), rest == escape
        if found[1] is None:
            word += found[0]
        elif word:
            words.append(word)
            word = ""
        at = found.end()
    return words + ([word] if word else []), True


def _joined(pieces: list[Piece]) -> str:
    return "".join(text for text, _ in pieces)


@dataclass
class _Reader:
    text: str
    variables: Mapping[str, str]
    escape: str
    keeps_quotes: bool = False
    refuses: bool = True
    at: int = 0
    depth: int = 0
    size: int = 0
    absent: list[str] = field(default_factory=list)

    def until(self, end: str, *, raw: bool = False) -> list[Piece]:
        """Pieces up to the character ``end``, which is passed; up to the end of the text where it is empty.

        ``raw``: escapes stay, for a pattern to read.
        """
        pieces: list[Piece] = []
        plain = self._plain(end)
        while self.at < len(self.text):
            if run := plain.match(self.text, self.at):
                self.at = run.end()
                pieces.append((run[0], False))
                continue
            character = self._next()
            if character == end:
                return pieces
            if character == self.escape:
                escaped = self._next()
                pieces.append((character + escaped if raw else escaped, True))
            elif character == "$":
                pieces.append((self._variable(), False))
            elif character == "'":
                pieces.append((self._single(), True))
            else:
                pieces.append((self._double(), True))
        if end:
            raise InvalidArgument(f"{end!r} is missing after ${{")
        return pieces

    def _plain(self, end: str) -> re.Pattern[str]:
        special = "$" + self.escape + end + ("" if self.keeps_quotes else "'\"")
        return re.compile(f"[^{re.escape(special)}]+")

    def _next(self) -> str:
        self.at += 1
        return self.text[self.at - 1 : self.at]

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _single(self) -> str:
        end = self.text.find("'", self.at)
        if end < 0:
            raise InvalidArgument("a single quote (') does not end")
        inside, self.at = self.text[self.at : end], end + 1
        return inside

    def _double(self) -> str:
        found: list[str] = []
        while self.at < len(self.text):
            character = self._next()
            if character == '"':
                return "".join(found)
            if character == "$":
                character = self._variable()
            elif character == self.escape:
                escaped = self._next()
                character = escaped if escaped in ('"', "$", self.escape) else character + escaped
            found.append(character)
        raise InvalidArgument('a double quote (") does not end')

    def _variable(self) -> str:
        """The value of what follows a ``$``."""
        if self._peek() == "{":
            self.at += 1
            self.depth += 1
            if self.depth > _DEEPEST:
                raise InvalidArgument(f"more than {_DEEPEST} ${{…}} in each other")
            value = self._braced()
            self.depth -= 1
            return value
        name = self._name()
        return self._value(name) if name else "$"

    def _name(self) -> str:
        found = _NAME.match(self.text, self.at)
        if found is None:
            return ""
        self.at = found.end()
        return found[0]

    def _value(self, name: str) -> str:
        if name not in self.variables:
            self.absent.append(name)
        return self._counted(self.variables.get(name, ""))

    def _counted(self, value: str) -> str:
        self.size += len(value)
        if self.size > _LARGEST:
            raise InvalidArgument(f"its variables come to more than {_LARGEST} characters")
        return value

    def _braced(self) -> str:
        name = self._name()
        if not name:
            raise InvalidArgument("bad substitution: ${ without a name")
        modifier = self._next()
        if modifier == "}":
            return self._value(name)
        if not modifier:
            raise InvalidArgument(f"'}}' is missing after ${{{name}")
        if modifier == ":":
            modifier += self._next()
        if modifier in ("-", "+", "?", ":-", ":+", ":?"):
            return self._conditional(name, modifier)
        if modifier in ("#", "%", "/"):
            return self._matched(name, modifier)
        raise InvalidArgument(f"${{{name}{modifier}…}}: there is no modifier {modifier!r}")

    def _conditional(self, name: str, modifier: str) -> str:
        word = _joined(self.until("}"))
        value = self.variables.get(name)
        is_there = bool(value) if modifier.startswith(":") else value is not None
        if modifier.endswith("+"):
            return word if is_there else ""
        if is_there:
            return self._counted(value or "")
        if modifier.endswith("?"):
            if self.refuses:
                raise InvalidArgument(f"variable {name}: {word or 'not set, and the file requires it'}")
            return ""
        return word

    def _matched(self, name: str, modifier: str) -> str:
        value = self._value(name)
        if self._peek() == modifier:
            modifier += self._next()
        if modifier.startswith("/"):
            pattern = _joined(self.until("/", raw=True))
            replacement = _joined(self.until("}"))
            pieces = replaced(value, pattern, replacement, self.escape, every=modifier == "//")
            return "".join(map(self._counted, pieces))
        return removed(value, _joined(self.until("}", raw=True)), self.escape, modifier)
