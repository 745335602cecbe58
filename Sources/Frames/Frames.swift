/// Frames, spoken with the console and the Lua worker.
