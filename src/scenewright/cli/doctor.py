"""`scenewright doctor`: what will run on this machine, and how to add what is missing."""

from typing import Annotated, Any

import typer

from scenewright.cli.options import Json, write_json

__all__ = ["doctor"]


def doctor(
    command: Annotated[
        str | None,
        typer.Option(
            "--for", help='Say what a command would need: "generate photo.jpg --masks m.png --max-memory 6GB".'
        ),
    ] = None,
    json: Json = None,
) -> None:
    """Print devices, memory, optional parts, weights and which systems will run; or what one command would need."""
    if command is not None:
        from scenewright.cli.planning import plan_command, plan_lines

        needs = plan_command(command)
        if json is None:
            typer.echo("\n".join(plan_lines(needs)))
        else:
            write_json(needs, json)
        return
    from scenewright.cli.machine import describe_machine

    facts = describe_machine()
    if json is None:
        typer.echo("\n".join(_report(facts)))
    else:
        write_json(facts, json)


def _report(facts: dict[str, Any]) -> list[str]:
    memory = facts["memory_bytes"]
    lines = [
        f"scenewright {facts['scenewright']}, Python {facts['python']}, torch {facts['torch']}, {facts['platform']}",
        f"memory      {_size(memory['total'])}, {_size(memory['available'])} available",
        f"threads     {facts['cpu_threads']} on the CPU",
    ]
    for device in facts["devices"]:
        lines.append(f"device      {device['device']}: {device['name']}, {_size(device['memory_bytes'])}")
    if len(facts["devices"]) == 1:
        lines.append("            no GPU found; everything runs on the CPU, published models slowly")
    for part in facts["parts"]:
        state = "present" if part["present"] else f"missing: {part['install']}"
        lines.append(f"part        {part['name']} ({part['purpose']}): {state}")
    mini = facts["weights"]["mini"]
    lines.append(f"weights     mini weights: {f'{len(mini)} files, ready' if mini else 'not in this installation'}")
    published = facts["weights"]["published"]
    lines.append(f"            published: {', '.join(published) or 'none in the hub cache (scenewright list)'}")
    recorded, hashed, unpinned = (facts["weights"][name] for name in ("recorded", "hashed", "unpinned"))
    lines.append(
        f"            of {recorded} published files the SHA-256 of {hashed} is known and checked; the other "
        f"{recorded - hashed} are trusted as first fetched, and refused once they change"
    )
    lines.append(f"            {unpinned} of them have no known revision: the newest is fetched, then kept")
    for name, digest in facts["weights"]["unverified"].items():
        state = f"trusted since first use, SHA-256 {digest[:12]}..." if digest else "not used yet"
        lines.append(f"            unverified: {name}, no published hash is known; {state}")
    for system in facts["systems"]:
        lines.append(f"system      {system['name']} ({system['purpose']}): {_verdict(system)}")
    return lines


def _verdict(system: dict[str, Any]) -> str:
    size = system["weights_bytes"]
    if size is None:
        need = "weights of unpublished size"
    else:
        need = f"weights take {_size(size['half'])} on a GPU, {_size(size['fp32'])} on the CPU"
    too_large = [device for device, fits in system["weights_fit"].items() if fits is False]
    fit = f", more than {' and '.join(too_large)} has" if too_large else ""
    missing = system["missing_weights"]
    state = f"{len(missing)} weight files to fetch first" if missing else "ready"
    if not system["can_run"]:
        state = "not yet in this version"
    return f"{state}; {need}{fit}"


def _size(num_bytes: int | None) -> str:
    return "unknown" if num_bytes is None else f"{num_bytes / 2**30:.1f} GiB"
