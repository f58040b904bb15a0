"""Devices: how busy they were, and the energy that they used."""

from __future__ import annotations

from records.words import counted, duration
from reporting.analysis.devices import timeline
from reporting.analysis.energy import energy_used
from reporting.figures.registry import section_figures
from reporting.pages.sections.section import Section
from reporting.run_view import RunView


def section(view: RunView) -> Section | None:
    found = timeline(view.results.values())
    if not found.bars:
        return None
    count, pauses = len(found.devices), len(found.pauses)
    lead = (
        f"{counted(count, 'device')} trained for {found.utilisation:.0%} of {duration(found.seconds)}: "
        f"{counted(len(found.bars), 'training')} of {duration(found.busy)} in total"
    )
    if count > 1:
        lead += f", {found.busy / found.seconds:.2f} times as fast as one after another"
    lead += "."
    if pauses:
        lead += f" The run was stopped {counted(pauses, 'time')}; these pauses are cut out."
    if (energy := energy_used(view.results.values())) is not None:
        lead += f" The GPUs used {energy.words} while they trained."
    return Section("devices", "Devices", lead, section_figures(view, "devices"))
