"""The Dockerfile language: text to typed instructions, and back. Pure values: no kernel, no store, no files read.

Words: *directive* (``# escape=`…``, at the top only), *logical line* (an instruction with its continuations joined),
*heredoc* (lines that belong to an instruction, up to a name of its own), *word* (a piece of an instruction in which
variables are expanded, still with its quotes), *stage* (a FROM and what follows it), *global* ARG (before the first
FROM), *scope* (which variables there are at a place of the file), *rule* (one kind of warning), *problem* (one error).

One file::

    file.Dockerfile.parse       text or bytes; all problems of a file in one BuildError
      lines.decode                bytes → lines: UTF-8, no NUL, no byte order mark
      directives.read             the comments at the top that mean something
      lines.logical               continuations joined, comments left out, heredocs taken in (heredoc)
      reading.instruction         a logical line → an Instruction: one of those in making or in setting
        flags.take, flags.read      --chown=1:1 and the like, by each instruction's table
        jsonform.read               ["exec", "form"], or the shell form where it is not JSON
        shell.split                 quoted words, for ENV, LABEL and ARG (patterns: what its modifiers match)
        mounts.fields               RUN --mount; ports has EXPOSE's words
      stages.gather               FROM begins a stage; what stands before the first is global
      lint.check                  rules, on all of it (lintstages: those on stages and variables)

``RUN --mount=type=cache,target=/c \\`` and, on the next line, ``make`` are one logical line with two line numbers. It
becomes a :class:`Run` with one mount and the shell form ``make``; ``.source`` is that instruction on one line, as an
image's history has it, and ``.location`` says where it stood.

A build then asks, instruction by instruction::

    scope.Scope                 the variables: ARG of the stage, global, given by the caller, automatic; ENV before all
    instruction.expanded        the same instruction with its variables replaced (shell)
    config.apply                what it changes of the image's config, where it changes that

``config.apply_changes`` is that walk for the ``changes=`` of an import or a commit. ``dump`` writes instructions down
so that parsing gives the same again; ``dump.from_config`` says an image's config in instructions. ``literal`` makes
instructions of values, in which everything is meant as it is (``quoting``); ``recovering`` makes a Dockerfile of an
image's history and config.

Source: the Dockerfile reference of Docker, and what its builder BuildKit does where that is silent.
"""

from __future__ import annotations

from containerkit.dockerfile.config import apply, apply_changes
from containerkit.dockerfile.directives import Directives
from containerkit.dockerfile.dump import dump, from_config
from containerkit.dockerfile.file import Dockerfile, parse_instructions
from containerkit.dockerfile.heredoc import Heredoc
from containerkit.dockerfile.instruction import Instruction
from containerkit.dockerfile.lint import undefined_variables
from containerkit.dockerfile.making import Add, Arg, Copy, From, Run
from containerkit.dockerfile.mounts import RunMount
from containerkit.dockerfile.problems import Location, Problem, Warning
from containerkit.dockerfile.scope import Scope, platform_arguments
from containerkit.dockerfile.setting import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from containerkit.dockerfile.stages import Stage

__all__ = [
    "Add", "Arg", "Cmd", "Copy", "Directives", "Dockerfile", "Entrypoint", "Env", "Expose", "From", "Healthcheck",
    "Heredoc", "Instruction", "Label", "Location", "Maintainer", "OnBuild", "Problem", "Run", "RunMount", "Scope",
    "Shell", "Stage", "StopSignal", "User", "Volume", "Warning", "Workdir", "apply", "apply_changes", "dump",
    "from_config", "parse_instructions", "platform_arguments", "undefined_variables",
]  # fmt: skip
