"""The peer we measure ourselves against: panoramisk's FastAGI giving the hotline's commands, with no ledger.

`python -m bench.peer PORT READY_FILE WELCOME NOTICE MENU HOLD`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from panoramisk.fast_agi import Application

ALL_KEYS = "0123456789*#"


async def serve(port: int, ready: Path, prompts: list[str]) -> None:
    *greeting, hold = prompts

    async def incoming(request: Any) -> None:
        """The commands `ivr.dialplan.reception` gives for a caller who presses 1 in the menu."""
        await request.send_command("ANSWER")
        for prompt in greeting:
            reply = await request.send_command(f'STREAM FILE "{prompt}" "{ALL_KEYS}" "0"')
        if reply.get("result", ("0",))[0] != "49":
            return
        await request.send_command(f'STREAM FILE "{hold}" "{ALL_KEYS}" "0"')
        await request.send_command('EXEC "MSet" "PLACE=queue,QUEUE=dispatch,QUEUE_PRIO=20"')

    application = Application(loop=asyncio.get_running_loop())
    # A coroutine function, or panoramisk asks for asyncio.coroutine, which Python has no more.
    application.add_route("incoming", incoming)
    server = await asyncio.start_server(application.handler, "127.0.0.1", port, backlog=512)
    ready.touch()  # nobody may try the port: a client that connects and leaves stops panoramisk's event loop
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
