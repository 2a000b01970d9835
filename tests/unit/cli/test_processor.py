"""When MKL is told to use AVX2."""

import os
import sys

import pytest

from ppdet_db import cli
from ppdet_db.cli import processor

AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu sse2 avx avx2 bmi2\n"


@pytest.mark.parametrize(
    ("text", "before", "modules", "after"),
    [
        (AMD, None, (), "5"),
        (AMD.replace("AuthenticAMD", "GenuineIntel"), None, (), None),
        (AMD.replace(" avx2", ""), None, (), None),
        (AMD, "4", (), "4"),
        (AMD, "", (), ""),
        (AMD, None, ("paddle",), None),
        (None, None, (), None),
    ],
    ids=["AMD", "Intel", "without AVX2", "set by the user", "emptied by the user", "too late", "not on Linux"],
)
def test_who_gets_the_variable(text, before, modules, after, tmp_path, monkeypatch):
    environment = {} if before is None else {processor.MKL_VARIABLE: before}
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(sys, "modules", dict.fromkeys(modules))
    cpuinfo = tmp_path / "cpuinfo"
    if text is not None:
        cpuinfo.write_text(text)
    processor.use_avx2_on_amd(cpuinfo)
    assert environment.get(processor.MKL_VARIABLE) == after


def test_commands_ask_before_anything_else(monkeypatch):
    calls = []
    monkeypatch.setattr(cli, "use_avx2_on_amd", lambda: calls.append("processor"))
    assert cli.report_errors(lambda argv: calls.append("command") or 0)([]) == 0
    assert calls == ["processor", "command"]
