"""The gates that a run has reached."""

from pathlib import Path

from lensneg.schema.check import Check
from lensneg.schema.gate import Gate, read_gates
from lensneg.schema.layout import RunFiles


def test_no_gate_is_reached_after_one_that_did_not_pass(tmp_path: Path) -> None:
    files = RunFiles(str(tmp_path), "one")
    for number in (1, 2, 4):
        check = Check(name="a", passed=number != 2, expected="", actual="", remedy="")
        Gate.of(number, [check]).write(files.gate(number))
    assert [gate.gate for gate in read_gates(files)] == ["Gate1PreSubmission", "Gate2FanOutComplete"]
    Gate.of(3, []).write(files.gate(3))
    assert [gate.passed for gate in read_gates(files)] == [True, False]
    Gate.of(2, []).write(files.gate(2))
    assert len(read_gates(files)) == 4
