"""`llm-ledger simulate`: the local provider, in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["simulate"]


def simulate(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Port to listen on; 0 takes a free one.")
    ] = 8787,
    batch_seconds: Annotated[float, typer.Option("--batch-seconds", min=0, help="How long a batch takes.")] = 2.0,
    cache_hit_rate: Annotated[
        float, typer.Option("--cache-hit-rate", min=0, max=1, help="Share of batch items that may read the cache.")
    ] = 1.0,
    time_scale: Annotated[float, typer.Option("--time-scale", min=0, help="Its clock against real time.")] = 1.0,
    fault_rate: Annotated[
        float,
        typer.Option("--fault-rate", min=0, max=1, help="Chance that a request goes wrong, in one of many ways."),
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Decides ids, texts and chance, faults too.")] = 0,
) -> None:
    """Run a local provider with batches, prompt cache and a bill, until interrupted. Any key is an account.

    While it runs, one fault at a time can be ordered; an order that cannot be is answered with what could:

    curl $ANTHROPIC_BASE_URL/_simulator/faults -d '{"endpoint": "batches.create", "kind": "drop_after"}'

    What arrived and what it costs: /_simulator/log and /_simulator/bill.
    """
    from llm_ledger.simulator import SimulatorConfig, serve

    config = SimulatorConfig(
        batch_seconds=batch_seconds,
        batch_cache_hit_rate=cache_hit_rate,
        time_scale=time_scale,
        fault_rate=fault_rate,
        seed=seed,
    )
    try:
        serve(config, host, port, _say_how)
    except OSError as error:
        from ledger.errors import InputError

        raise InputError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None


def _say_how(base_url: str) -> None:
    typer.echo(f"export ANTHROPIC_BASE_URL={base_url}")
    typer.echo("export ANTHROPIC_API_KEY=any-key-is-an-account")
    typer.echo("Listening; Ctrl-C stops.", err=True)
