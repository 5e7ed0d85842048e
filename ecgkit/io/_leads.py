"""Lead names behind codes: SCP-ECG lead numbers, which DICOM and HL7 reuse."""

from __future__ import annotations

import re

# EN 1064, table of leads; the numbers are also the last part of DICOM's 5.6.3-9-n and of MDC's 2:n.
BY_NUMBER = {
    1: "I", 2: "II", 3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6", 9: "V7", 10: "V2R",
    11: "V3R", 12: "V4R", 13: "V5R", 14: "V6R", 15: "V7R", 16: "X", 17: "Y", 18: "Z", 19: "CC5",
    20: "CM5", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 65: "-aVR", 66: "V8", 67: "V9",
    68: "V8R", 69: "V9R", 86: "MCL", 87: "MCL1", 88: "MCL2", 89: "MCL3", 90: "MCL4", 91: "MCL5",
    92: "MCL6",
}  # fmt: skip

_SCP = re.compile(r"5\.6\.3-9-(\d{1,3})\Z")
_MDC = re.compile(r"2:(\d{1,3})\Z")


def by_code(code: str, scheme: str) -> str | None:
    """The lead of a DICOM channel source code, or None if the table does not have it."""
    pattern = {"SCPECG": _SCP, "MDC": _MDC}.get(scheme)
    found = pattern.match(code) if pattern else None
    return BY_NUMBER.get(int(found.group(1))) if found else None


def by_mdc_name(code: str) -> str | None:
    """The lead of ``MDC_ECG_LEAD_x`` as HL7 aECG and FDA files spell it."""
    prefix = "MDC_ECG_LEAD_"
    return (
        code[len(prefix) :].replace("AVR", "aVR").replace("AVL", "aVL").replace("AVF", "aVF")
        if code.startswith(prefix) and len(code) > len(prefix)
        else None
    )
